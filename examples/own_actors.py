"""Actors of your own, kept alive by supervisors: a shop with one stock and many customers.

python examples/own_actors.py

shop                      one_for_one: who crashes is started again, the others go on
├── stock                 always there, with a name
└── customers             a DynamicSupervisor: its children come and go
    ├── customer ...
"""

from upright.actors import SupervisedActor
from upright.supervisors import (
    ChildSpec,
    DynamicSupervisor,
    Restart,
    Supervisor,
    count_children,
    start_child,
    which_child,
)


class Stock(SupervisedActor):
    """Counts what is there. Only its own thread touches the state, so there is nothing to lock."""

    def __init__(self, apples):
        super().__init__()
        self.apples = apples

    def take(self, number):
        """Give some away, and say how many are left. Given nonsense, it crashes."""
        self.apples -= number
        return self.apples


class Customer(SupervisedActor):
    """Buys apples from the stock, which it knows by its address."""

    def __init__(self, stock):
        super().__init__()
        self.stock = stock.proxy()

    def on_receive(self, number):
        """Handle a message; what is returned is the answer of `ask`."""
        return self.stock.take(number).get(timeout=5)


def main():
    """Sell, crash, and go on selling."""
    shop = Supervisor.start(
        [
            # The spec says how to start it, every time: with 100 apples.
            ChildSpec("stock", Stock, args=(100,)),
            ChildSpec("customers", DynamicSupervisor, kwargs={"max_children": 1_000}),
        ],
        intensity=3,  # more than three crashes within five seconds, and the shop gives up: restarting does not help
        period=5.0,
        name="shop",
    )
    stock, customers = which_child(shop, "stock").address, which_child(shop, "customers").address

    # TEMPORARY: a customer that crashes is gone, nobody starts it again.
    ada = start_child(customers, ChildSpec("ada", Customer, args=(stock,), restart=Restart.TEMPORARY))
    bob = start_child(customers, ChildSpec("bob", Customer, args=(stock,), restart=Restart.TEMPORARY))
    print("ada buys 3, left:", ada.ask(3))

    try:
        bob.ask("three")  # crashes the stock, and bob, who gets its error
    except TypeError as error:
        print("bob's order was nonsense:", error)

    # The stock is a new actor at the old address. It knows nothing of what was sold: a state that has to survive a
    # crash belongs on disk, and is read in on_start().
    print("ada buys 3, left:", ada.ask(3))
    print("restarts of the stock:", which_child(shop, "stock").restarts)
    print("customers left:", count_children(customers).active)
    shop.stop()  # the newest first: the customers, then the stock


if __name__ == "__main__":
    main()
