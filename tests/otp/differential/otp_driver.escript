#!/usr/bin/env escript
%% -*- erlang -*-
%% Runs scenarios on OTP's own supervisor and prints what it observed, one JSON line per scenario.
%%
%%     escript otp_driver.escript FILE
%%
%% FILE holds Erlang terms, one scenario each, written by otp_scenarios.py, which also explains the steps. Everything
%% observable goes through one ordered table: a leaf writes `up` before its start function returns and `down` before it
%% exits, so the order of the events is the order in which the supervisor caused them.
-module(otp_driver).
-mode(compile).
-behaviour(supervisor).
-export([main/1, init/1, start_leaf/1, start_sup/1, leaf_init/3]).

main([File]) ->
    logger:set_primary_config(level, none),
    io:setopts([{encoding, unicode}]),
    {ok, Scenarios} = file:consult(File),
    lists:foreach(fun(Scenario) ->
        Me = self(),
        {Pid, Ref} = spawn_monitor(fun() -> Me ! {result, self(), run(Scenario)} end),
        receive
            {result, Pid, Result} -> erlang:demonitor(Ref, [flush]), io:format("~ts~n", [json(Result)]);
            {'DOWN', Ref, process, Pid, Reason} ->
                Text = unicode:characters_to_list(io_lib:format("~tp", [Reason])),
                io:format("~ts~n", [json({[{name, get(name, Scenario)}, {driver_crash, {text, Text}}]})])
        after 30000 ->
            io:format("~ts~n", [json({[{name, get(name, Scenario)}, {driver_crash, {text, "hangs"}}]})]),
            exit(Pid, kill)
        end
    end, Scenarios).

%% One scenario. The process that runs it is the parent of the top supervisor and traps its exit.

run(Scenario) ->
    process_flag(trap_exit, true),
    ets:new(log, [named_table, public, ordered_set]),
    ets:new(state, [named_table, public, set]),
    ets:insert(state, [{clock, 0}, {driver, self()}]),
    put(kind, get(kind, Scenario)),
    put(mark, 0),
    Started = start_top(Scenario),
    First = observe(start, Started),
    Rest = [begin Result = step(Step), observe(hd(Step), Result) end || Step <- get(steps, Scenario)],
    Answer = {[{name, get(name, Scenario)}, {steps, [First | Rest]}]},
    ets:delete(log), ets:delete(state),
    Answer.

start_top(Scenario) ->
    Spec = [{id, top}, {flags, get(flags, Scenario)}, {children, get(children, Scenario)}],
    lists:foreach(fun({Id, Outcomes}) -> plan(Id, Outcomes) end, get(plans, Scenario)),
    Start = case get(kind) of
        dynamic -> supervisor:start_link(?MODULE, {dynamic, get(flags, Scenario), get(template, Scenario)});
        _ -> start_sup(Spec)
    end,
    case Start of
        {ok, Pid} ->
            ets:insert(state, [{{pid, top}, Pid}, {{started, top}, true}]),
            started;
        {error, {shutdown, {failed_to_start_child, Id, _}}} ->
            receive {'EXIT', _, _} -> ok after 0 -> ok end,
            [start_failed, Id];
        ignore -> ignored
    end.

%% Supervisors and leaves.

start_sup(Spec) ->
    Id = get(id, Spec),
    case supervisor:start_link(?MODULE, {static, get(flags, Spec), get(children, Spec)}) of
        {ok, Pid} -> ets:insert(state, {{pid, Id}, Pid}), {ok, Pid};
        Other -> Other
    end.

init({static, Flags, Children}) -> {ok, {maps:from_list(Flags), [child_spec(C) || C <- Children]}};
init({dynamic, Flags, Template}) ->
    Spec = #{id => leaf, start => {?MODULE, start_leaf, []}, restart => get(restart, Template),
             shutdown => get(shutdown, Template)},
    {ok, {(maps:from_list(Flags))#{strategy => simple_one_for_one}, [Spec]}}.

child_spec(Spec) ->
    Id = get(id, Spec),
    case get(children, Spec, none) of
        none ->
            #{id => Id, start => {?MODULE, start_leaf, [Id]}, restart => get(restart, Spec),
              shutdown => get(shutdown, Spec), significant => get(significant, Spec), type => worker};
        _ ->
            #{id => Id, start => {?MODULE, start_sup, [Spec]}, restart => get(restart, Spec),
              shutdown => infinity, significant => get(significant, Spec), type => supervisor}
    end.

%% Start functions run in the supervisor, as every start function of OTP does.
start_leaf(Id) ->
    case next_outcome(Id) of
        ok -> proc_lib:start_link(?MODULE, leaf_init, [self(), self(), Id]);
        fail -> log([fail, Id]), {error, planned};
        raise -> log([fail, Id]), error(planned);
        ignore -> log([ignore, Id]), ignore;
        gate ->
            [{driver, Driver}] = ets:lookup(state, driver),
            Driver ! {gate, self(), Id},
            receive {open_gate, Outcome} -> plan_front(Id, Outcome), start_leaf(Id) end
    end.

leaf_init(Parent, Sup, Id) ->
    process_flag(trap_exit, true),
    ets:insert(state, {{pid, Id}, self()}),
    ets:insert(state, {{sup, self()}, Sup}),
    ets:insert(state, {{id, self()}, Id}),
    log([up, Id]),
    proc_lib:init_ack(Parent, {ok, self()}),
    leaf(Parent, Id).

leaf(Parent, Id) ->
    receive
        {'EXIT', Parent, Reason} -> log([down, Id, stopped]), exit(Reason);
        {exit, crash} -> log([down, Id, crash]), exit(crashed);
        {exit, normal} -> log([down, Id, normal]), exit(normal);
        {exit, shutdown} -> log([down, Id, shutdown]), exit(shutdown);
        {exit, shutdown_detail} -> log([down, Id, shutdown]), exit({shutdown, detail});
        {stick, From} -> ets:insert(state, {{stuck, self()}, true}), From ! stuck, receive never -> ok end
    end.

plan(Id, Outcomes) -> ets:insert(state, {{plan, Id}, Outcomes}).

plan_front(Id, Outcome) ->
    Rest = case ets:lookup(state, {plan, Id}) of [{_, L}] -> L; [] -> [] end,
    plan(Id, [Outcome | Rest]).

next_outcome(Id) ->
    case ets:lookup(state, {plan, Id}) of
        [{_, [Outcome]}] -> ets:delete(state, {plan, Id}), Outcome;
        [{_, [Outcome | Rest]}] -> plan(Id, Rest), Outcome;
        _ -> ok
    end.

log(Event) -> ets:insert(log, {ets:update_counter(state, clock, 1), Event}).

%% Steps. Each returns its result, a term of atoms.

step([plan, Id, Outcomes]) -> plan(Id, Outcomes), ok;
step([exit, Id, How]) ->
    case leave(Id, How) of
        noop -> noop;
        {Pid, Sup} -> wait_handled(Pid, Sup), ok
    end;
step([together, SupId, Exits, Calls]) ->
    %% A child whose start blocks holds the supervisor while the exits pile up; it ignores in the end and leaves no trace.
    case pid(SupId) of
        dead -> dead;
        Sup ->
            plan(gate, [gate]),
            Spec = [{id, gate}, {restart, temporary}, {shutdown, 1000}, {significant, false}],
            Request = request(Sup, start_request(Spec)),
            receive {gate, Sup, gate} -> ok end,
            Left = [leave(Id, How) || [Id, How] <- Exits],
            Requests = [request(Sup, call(Call, Argument)) || [Call, Argument] <- Calls],
            Sup ! {open_gate, ignore},
            _ = answer(Request),
            Answers = [answer(R) || R <- Requests],
            [wait_handled(Pid, Owner) || {Pid, Owner} <- Left],
            [[case L of noop -> noop; _ -> ok end || L <- Left], Answers]
    end;
step([stick, Id]) ->
    case free(Id) of
        dead -> noop;
        Pid -> Pid ! {stick, self()}, receive stuck -> ok end, ok
    end;
step([looping, Id, Calls]) ->
    %% A child of the top supervisor crashes and its starts fail; each call is queued while one of them is under way.
    plan(Id, [gate]),
    case leave(Id, crash) of
        noop -> ets:delete(state, {plan, Id}), noop;
        {Pid, Sup} ->
            Answers = loop(Sup, Id, Calls),
            ets:delete(state, {plan, Id}),
            wait_handled(Pid, Sup),
            Answers
    end;
step([stop, SupId]) ->
    case pid(SupId) of
        dead -> dead;
        Pid -> Ref = erlang:monitor(process, Pid),
               catch gen_server:stop(Pid, normal, infinity),
               receive {'DOWN', Ref, process, Pid, _} -> ok end,
               ok
    end;
step([Call, SupId, Argument]) ->
    case pid(SupId) of
        dead -> dead;
        Sup ->
            %% Elixir's DynamicSupervisor knows no dead child; OTP's terminate_child answers ok for one.
            case get(kind) =:= dynamic andalso Call =:= terminate_child andalso free(Argument) =:= dead of
                true -> not_found;
                false -> answer(request(Sup, call(Call, Argument)))
            end
    end.

loop(Sup, Id, Calls) ->
    Ref = erlang:monitor(process, Sup),
    Answers = loop(Sup, Ref, Id, Calls, []),
    erlang:demonitor(Ref, [flush]),
    Answers.

loop(Sup, Ref, Id, Calls, Answers) ->
    %% Either the next start is under way, or the supervisor answers that nothing is restarting any more, or it is gone.
    Probe = request(Sup, which_children),
    case wait_gate(Sup, Ref, Probe) of
        {entered, Open} ->
            case Calls of
                [] ->
                    Sup ! {open_gate, ok},
                    discard(Open),
                    lists:reverse(Answers);
                [[Name, Argument] | Rest] ->
                    Request = request(Sup, call(Name, Argument)),
                    plan(Id, [gate]),
                    Sup ! {open_gate, fail},
                    discard(Open),
                    loop(Sup, Ref, Id, Rest, [answer(Request) | Answers])
            end;
        over -> lists:reverse(Answers)
    end.

wait_gate(Sup, Ref, Probe) ->
    receive
        {gate, Sup, _} -> {entered, Probe};
        {'DOWN', Ref, process, Sup, _} -> over;
        {Probe, {ok, List}} ->
            case lists:any(fun({_, P, _, _}) -> P =:= restarting end, List) of
                true -> wait_gate(Sup, Ref, request(Sup, which_children));
                false -> over
            end;
        {Probe, _} -> over
    end.

discard(Probe) -> receive {Probe, _} -> ok end.

%% Requests run in a process of their own, so that they are in the mailbox before the next thing happens.
request(Sup, Request) ->
    Me = self(),
    Tag = make_ref(),
    spawn(fun() ->
        Id = gen_server:send_request(Sup, Request),
        Me ! {sent, Tag},
        case gen_server:wait_response(Id, infinity) of
            {reply, Reply} -> Me ! {Tag, {ok, Reply}};
            {error, _} -> Me ! {Tag, dead}
        end
    end),
    receive {sent, Tag} -> ok end,
    Tag.

answer(Tag) -> receive {Tag, dead} -> dead; {Tag, {ok, Reply}} -> word(Reply) end.

call(start_child, Spec) -> start_request(Spec);
call(terminate_child, Id) ->
    case get(kind) of
        dynamic -> {terminate_child, pid(Id)};
        _ -> {terminate_child, Id}
    end;
call(restart_child, Id) -> {restart_child, Id};
call(delete_child, Id) -> {delete_child, Id};
call(which_child, Id) -> {get_childspec, Id}.

start_request(Spec) ->
    case get(kind) of
        dynamic -> {start_child, [get(id, Spec)]};
        _ -> {start_child, child_spec(Spec)}
    end.

word(ok) -> ok;
word({ok, undefined}) -> ignored;
word({ok, Pid}) when is_pid(Pid) -> started;
word({ok, Map}) when is_map(Map) -> found;
word({error, {already_started, _}}) -> already_started;
word({error, Reason}) when Reason =:= already_present; Reason =:= not_found; Reason =:= running;
                            Reason =:= restarting -> Reason;
word({error, _}) -> start_failed.

%% Ends a leaf from inside; returns once its exit signals are on their way.
leave(Id, How) ->
    case free(Id) of
        dead -> noop;
        Pid ->
            [{_, Sup}] = ets:lookup(state, {sup, Pid}),
            Ref = erlang:monitor(process, Pid),
            Pid ! {exit, How},
            receive {'DOWN', Ref, process, Pid, _} -> ok end,
            wait_unlinked(Pid, Sup),
            {Pid, Sup}
    end.

%% The link goes when the exit signal arrives, and then the exit message is in the supervisor's mailbox.
wait_unlinked(Pid, Sup) ->
    case erlang:process_info(Sup, links) of
        undefined -> ok;
        {links, Links} ->
            case lists:member(Pid, Links) of
                true -> timer:sleep(1), wait_unlinked(Pid, Sup);
                false -> ok
            end
    end.

wait_handled(Pid, Sup) ->
    try lists:keymember(Pid, 2, supervisor:which_children(Sup)) of
        true -> timer:sleep(1), wait_handled(Pid, Sup);
        false -> ok
    catch exit:_ -> ok
    end.

pid(Id) ->
    case ets:lookup(state, {pid, Id}) of
        [{_, Pid}] -> case is_process_alive(Pid) of true -> Pid; false -> dead end;
        [] -> dead
    end.

%% A leaf that is stuck handles nothing any more.
free(Id) ->
    case pid(Id) of
        dead -> dead;
        Pid -> case ets:member(state, {stuck, Pid}) of true -> dead; false -> Pid end
    end.

%% What can be seen once nothing is under way.

observe(Name, Result) ->
    States = case get(top_state) of undefined -> settle(); _ -> [] end,
    Last = case ets:last(log) of '$end_of_table' -> 0; L -> L end,
    Events = [E || {N, E} <- ets:tab2list(log), N > get(mark)],
    put(mark, Last),
    {[{step, Name}, {result, Result}, {events, Events}, {top, top_state()}, {supervisors, States}]}.

top_state() ->
    case get(top_state) of
        undefined -> case pid(top) of dead -> none; _ -> alive end;
        State -> State
    end.

settle() ->
    case ets:lookup(state, {started, top}) of
        [] -> [];
        _ ->
            [{_, Top}] = ets:lookup(state, {pid, top}),
            settle(Top)
    end.

settle(Top) ->
    try walk(top, Top) of
        {States, _} -> States
    catch
        throw:again ->
            receive
                {'EXIT', Top, Reason} -> put(top_state, exit_word(Reason)), []
            after 1 -> case get(top_state) of undefined -> settle(Top); _ -> [] end
            end
    end.

exit_word(normal) -> normal;
exit_word(shutdown) -> shutdown;
exit_word({shutdown, _}) -> shutdown;
exit_word(_) -> other.

walk(Id, Sup) ->
    List = try supervisor:which_children(Sup) catch exit:_ -> throw(again) end,
    Children = case get(kind) of dynamic -> lists:sort([dynamic_entry(C) || C <- List]); _ -> lists:reverse(List) end,
    Counts = try supervisor:count_children(Sup) catch exit:_ -> throw(again) end,
    Own = {[{id, Id}, {children, [[C, entry(P)] || {C, P, _, _} <- Children]},
            {counts, [proplists:get_value(K, Counts) || K <- [specs, active, supervisors, workers]]}]},
    Below = [walk(C, P) || {C, P, supervisor, _} <- Children, is_pid(P)],
    {[Own | lists:append([S || {S, _} <- Below])], ok}.

dynamic_entry({undefined, restarting, _, _}) -> throw(again);
dynamic_entry({undefined, Pid, Type, M}) ->
    case ets:lookup(state, {id, Pid}) of [{_, Id}] -> {Id, Pid, Type, M}; [] -> throw(again) end.

entry(restarting) -> throw(again);
entry(undefined) -> stopped;
entry(Pid) -> case is_process_alive(Pid) of true -> running; false -> throw(again) end.

%% Terms and JSON.

get(Key, List) -> {_, Value} = lists:keyfind(Key, 1, List), Value.
get(Key, List, Default) -> case lists:keyfind(Key, 1, List) of {_, Value} -> Value; false -> Default end.

json({text, Text}) -> io_lib:format("~tp", [Text]);
json({Pairs}) -> ["{", lists:join(",", [["\"", atom_to_list(K), "\":", json(V)] || {K, V} <- Pairs]), "}"];
json(Atom) when is_atom(Atom) -> ["\"", atom_to_list(Atom), "\""];
json(Number) when is_integer(Number) -> integer_to_list(Number);
json(List) when is_list(List) -> ["[", lists:join(",", [json(V) || V <- List]), "]"].
