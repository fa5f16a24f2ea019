"""The application behind `upright top`: panes, keys, and a thread that looks at the tree."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.app import App
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Label, Static, Tree

from upright.cli import top_panes
from upright.cli.app import Failure
from upright.cli.breaker import force
from upright.cli.findings import together
from upright.cli.status import overview
from upright.cli.words import clean
from upright.control_client import ControlError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from textual.app import ComposeResult
    from textual.binding import BindingType
    from textual.widgets.tree import TreeNode

    from upright.cli.app import Target
    from upright.control_client import ControlClient

__all__ = ["TopApp"]

_WORDS: Final = {"open": "Reject every call of", "close": "Let every call through of", "auto": "Free"}


class TopApp(App[None]):
    """Shows one tree until the user has seen enough.

    Args:
        target: The tree.
        interval: Seconds between two looks.
    """

    TITLE = "upright top"
    ENABLE_COMMAND_PALETTE = False
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall")]  # noqa: RUF012 - as textual declares it
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "quit", "Quit"),
        ("p", "pause", "Pause"),
        ("o", "force('open')", "Force open"),
        ("c", "force('close')", "Force closed"),
        ("a", "force('auto')", "Auto"),
    ]
    CSS = """
    #head { height: 1; padding: 0 1; background: $panel; }
    #trouble { height: auto; padding: 0 1; background: $error; color: $text; display: none; }
    .pane { border: round $primary-darken-1; border-title-color: $text-muted; padding: 0 1; }
    .pane:focus, .pane:focus-within { border: round $accent; }
    #left { width: 2fr; min-width: 30; }
    #right { width: 3fr; }
    #tree { height: 1fr; background: $surface; }
    #risk-pane { height: 7; }
    #risk-line { height: 1; }
    #problems-pane { height: 1fr; }
    #circuits { height: 1fr; background: $surface; }
    #events-pane { height: 11; }
    #events { text-wrap: nowrap; text-overflow: ellipsis; }
    .-short #events-pane { height: 5; }
    .-short #risk-pane { height: 4; }
    .-short #risk-line { display: none; }
    """

    def __init__(self, target: Target, interval: float) -> None:
        super().__init__()
        self._target = target
        self._interval = interval
        self._ending = threading.Event()
        self._paused = False
        self._tree_nodes: dict[str, TreeNode[str]] = {}
        self.view: Mapping[str, Any] | None = None

    def compose(self) -> ComposeResult:
        """Lay out the panes."""
        yield Static(id="head")
        yield Static(id="trouble")
        with Horizontal():
            with Vertical(id="left"):
                tree: Tree[str] = Tree("", id="tree", classes="pane")
                tree.show_root = False
                tree.auto_expand = False  # enter looks inside; space folds
                tree.border_title = "actors"
                tree.border_subtitle = "enter: look inside"
                yield tree
                with Vertical(id="risk-pane", classes="pane") as pane:
                    pane.border_title = "risk"
                    yield Static(id="risk-line")
                    yield Static(id="risk")
            with Vertical(id="right"):
                with VerticalScroll(id="problems-pane", classes="pane") as pane:
                    pane.border_title = "what is wrong, and what comes next"
                    yield Static(id="problems")
                table: DataTable[Any] = DataTable(id="circuits", classes="pane", cursor_type="row")
                table.border_title = "circuits"
                table.border_subtitle = "enter: look inside"
                yield table
        with VerticalScroll(id="events-pane", classes="pane") as pane:
            pane.border_title = "last events"
            yield Static(id="events")
        yield Footer()

    def on_mount(self) -> None:
        """Start to look."""
        table = self.query_one("#circuits", DataTable)
        for name in top_panes.CIRCUIT_COLUMNS:
            table.add_column(name, key=name)
        self.query_one("#tree").focus()
        self.run_worker(self._look, thread=True, name="look")

    def on_unmount(self) -> None:
        """Stop to look."""
        self._ending.set()

    # In the thread that looks.

    def _look(self) -> None:
        client: ControlClient | None = None
        while not self._ending.is_set():
            try:
                if client is None:
                    client = self._target.connect()
                view = overview(client)
            except ControlError as error:
                if client is not None:
                    client.close()
                client = None
                self._tell(self.show_trouble, str(error))
            else:
                self._tell(self.show, view)
            self._ending.wait(self._interval)
        if client is not None:
            client.close()

    def _tell(self, method: Any, argument: Any) -> None:
        if not self._ending.is_set():
            self.call_from_thread(method, argument)

    # In the event loop.

    def show_trouble(self, text: str) -> None:
        """Say that the tree does not answer; what was seen last stays on the screen."""
        trouble = self.query_one("#trouble", Static)
        trouble.update(clean(text) + "  (looking again)")
        trouble.display = True

    def show(self, view: Mapping[str, Any]) -> None:
        """Show what was seen, unless paused."""
        self.query_one("#trouble", Static).display = False
        if self._paused:
            return
        self.view = view
        self._update_all(view)

    def _update_all(self, view: Mapping[str, Any]) -> None:
        self._static("head", top_panes.head(view, paused=self._paused))
        self._static("problems", top_panes.problems(view))
        self._static("risk", top_panes.risk(view))
        self._static("events", top_panes.event_lines(view))
        self._static("risk-line", top_panes.risk_line(view, self.screen_stack[0].query_one("#risk-line").size.width))
        self._update_tree(view["status"])
        self._update_circuits(view.get("breakers") or [])
        if isinstance(self.screen, _Inside):
            self.screen.show(view)

    def _static(self, name: str, text: Any) -> None:
        self.screen_stack[0].query_one(f"#{name}", Static).update(text)

    def _update_tree(self, status: Mapping[str, Any]) -> None:
        """Change the tree in place, so that cursor and folds stay where they are."""
        tree = self.screen_stack[0].query_one("#tree", Tree)
        seen: set[str] = set()
        self._place(tree.root, "", status, seen)
        for path in [path for path in self._tree_nodes if path not in seen]:
            node = self._tree_nodes.pop(path)
            if node.parent is not None and node in node.parent.children:
                node.remove()

    def _place(self, parent: TreeNode[str], before: str, status: Mapping[str, Any], seen: set[str]) -> None:
        name = status.get("key") or status["name"]
        path = f"{before}/{name}" if before else str(name)
        while path in seen:  # children of a dynamic supervisor may share a name
            path += "'"
        seen.add(path)
        label, children = top_panes.node_label(status), together(status.get("children") or ())
        node = self._tree_nodes.get(path)
        if node is None:
            node = parent.add(label, data=path, expand=True, allow_expand=bool(children))
            self._tree_nodes[path] = node
        else:
            node.set_label(label)
            node.allow_expand = bool(children)
        for child in children:
            self._place(node, path, child, seen)

    def _update_circuits(self, circuits: list[Mapping[str, Any]]) -> None:
        table = self.screen_stack[0].query_one("#circuits", DataTable)
        wanted = {str(one["operation"]): top_panes.circuit_row(one) for one in circuits}
        for key in [key.value for key in table.rows if key.value not in wanted]:
            table.remove_row(str(key))
        for name, row in wanted.items():
            if name in table.rows:
                for column, cell in zip(top_panes.CIRCUIT_COLUMNS, row, strict=True):
                    table.update_cell(name, column, cell, update_width=True)
            else:
                table.add_row(*row, key=name)

    # Keys.

    def action_pause(self) -> None:
        """Hold the picture, or go on."""
        self._paused = not self._paused
        if self.view is not None:
            self._static("head", top_panes.head(self.view, paused=self._paused))

    def on_tree_node_selected(self, event: Tree.NodeSelected[str]) -> None:
        """Look into an actor."""
        if event.node.data is not None and self.view is not None:
            self.push_screen(_Inside(self.view, "actor", event.node.data))

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Look into a circuit."""
        if event.row_key.value is not None and self.view is not None:
            self.push_screen(_Inside(self.view, "circuit", event.row_key.value))

    def action_force(self, action: str) -> None:
        """Ask, then force the circuit under the cursor."""
        operation = self._chosen()
        if operation is None:
            self.notify("No operation has been protected yet.", severity="warning", markup=False)
            return

        def answered(yes: bool | None) -> None:  # noqa: FBT001 - textual's signature
            if yes:
                self.run_worker(lambda: self._force(operation, action), thread=True, name="force")

        self.push_screen(_Question(f"{_WORDS[action]} {clean(operation)}?"), answered)

    def _chosen(self) -> str | None:
        if isinstance(self.screen, _Inside) and self.screen.kind == "circuit":
            return self.screen.subject
        table = self.screen_stack[0].query_one("#circuits", DataTable)
        if not table.row_count:
            return None
        return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)

    def _force(self, operation: str, action: str) -> None:
        try:
            with self._target.connect() as client:
                state = force(client, operation, action)["state"]
        except (ControlError, Failure) as error:
            self.call_from_thread(self.notify, clean(str(error)), severity="error", markup=False)
        else:
            self.call_from_thread(self.notify, f"{clean(operation)} is {state}", markup=False)


class _Inside(ModalScreen[None]):
    """Everything about one actor or circuit, kept up to date."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,enter", "dismiss", "Back")]
    CSS = """
    _Inside { align: center middle; }
    #box { width: 80%; height: 80%; border: round $accent; background: $surface; padding: 0 1; }
    """

    def __init__(self, view: Mapping[str, Any], kind: str, subject: str) -> None:
        super().__init__()
        self._first = view
        self.kind = kind
        self.subject = subject

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="box") as box:
            box.border_title = clean(f"{self.kind} {self.subject}")
            box.border_subtitle = "esc goes back"
            yield Static(id="text")

    def on_mount(self) -> None:
        self.show(self._first)
        self.query_one("#box").focus()

    def show(self, view: Mapping[str, Any]) -> None:
        """Show it as it is now."""
        self.query_one("#text", Static).update(top_panes.inside(view, self.kind, self.subject))


class _Question(ModalScreen[bool]):
    """Asks before something is changed in a running service."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("y", "dismiss(True)", "Yes"),
        ("n,escape", "dismiss(False)", "No"),
    ]
    CSS = """
    _Question { align: center middle; }
    #question { width: auto; height: auto; border: round $warning; background: $surface; padding: 1 3; }
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        yield Label(f"{self._text}\n\ny  yes      n  no", id="question", markup=False)
