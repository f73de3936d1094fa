# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_session_doctor_global_optspecs
    string join \n config= color= h/help V/version
end

function __fish_session_doctor_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_session_doctor_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_session_doctor_using_subcommand
    set -l cmd (__fish_session_doctor_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c session-doctor -n "__fish_session_doctor_needs_command" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_needs_command" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c session-doctor -n "__fish_session_doctor_needs_command" -s V -l version -d 'Print version'
complete -c session-doctor -n "__fish_session_doctor_needs_command" -f -a "tap" -d 'Read agents\' output from standard input, files or directories, and write events'
complete -c session-doctor -n "__fish_session_doctor_needs_command" -f -a "wrap" -d 'Run a command and watch it, changing nothing that it or anybody else could notice'
complete -c session-doctor -n "__fish_session_doctor_needs_command" -f -a "usage" -d 'Tell what agents used and what it cost, from their transcripts'
complete -c session-doctor -n "__fish_session_doctor_needs_command" -f -a "check-tokens" -d 'Tell how full the context window of a session is, and end with 0 (ok), 1 (warning) or 2 (critical)'
complete -c session-doctor -n "__fish_session_doctor_needs_command" -f -a "statusline" -d 'Draw Claude Code\'s status line: the model, how full the context window is, the cost, when the five hours reset'
complete -c session-doctor -n "__fish_session_doctor_needs_command" -f -a "list-sessions" -d 'List the sessions that are in the agents\' own folders, the newest first'
complete -c session-doctor -n "__fish_session_doctor_needs_command" -f -a "prices" -d 'Show what models cost, and use a newer list of prices'
complete -c session-doctor -n "__fish_session_doctor_needs_command" -f -a "explain" -d 'Tell what one line is taken for, and why'
complete -c session-doctor -n "__fish_session_doctor_needs_command" -f -a "rules" -d 'List, check and test the rules, those of the program and your own'
complete -c session-doctor -n "__fish_session_doctor_needs_command" -f -a "calibrate" -d 'Work out from your own good runs when an agent in a loop is to be interrupted'
complete -c session-doctor -n "__fish_session_doctor_needs_command" -f -a "schema" -d 'Print the JSON Schema of the events'
complete -c session-doctor -n "__fish_session_doctor_needs_command" -f -a "config" -d 'Show the settings and where they come from'
complete -c session-doctor -n "__fish_session_doctor_needs_command" -f -a "completions" -d 'Print the completions for a shell'
complete -c session-doctor -n "__fish_session_doctor_needs_command" -f -a "man" -d 'Print the manual page, or write all of them'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -l agent -d 'Whose output it is; auto tells by the bytes' -r -f -a "auto\t''
hook\t''
opencode\t''
copilot\t''
amp\t''
cursor\t''
goose\t''
pi\t''
qwen\t''
claude\t''
codex\t''
gemini\t''
mini\t''
swe_agent\t''
openhands\t''
aider\t''
markdown\t''
harness\t''
generic\t''
plain\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -l emit -d 'Write only these types of events' -r -f -a "session_started\t''
session_updated\t''
finding\t''
alert\t''
decision\t''
outcome\t''
status\t''
usage\t''
summary\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -l format -d 'How to write events: json (one object a line), text, auto (text on a terminal)' -r -f -a "auto\t''
json\t''
text\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -l events -d 'Append events to this file, or write them to an open file descriptor (fd:3) or to standard output (-)' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -l fail-on -d 'End with status 1 after an alert of this severity or a worse one' -r -f -a "never\t''
low\t''
medium\t''
high\t''
critical\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -l glob -d 'Read the files of a directory that match, as in a .gitignore; `!` excludes; may be repeated' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -l threads -d 'How many files to read at a time; 0: as many as there are processor cores' -r
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -l time-zone -d 'Read times without a zone in this one: local, or an IANA name such as Europe/Berlin' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -l budget-usd -d 'What may be spent, in US dollars: a run, or with /day or /project behind it all agents together (20/day); with /min it is a rate to be warned of. May be repeated' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -l budget-tokens -d 'How many tokens may be used: in a run, or with /day or /project behind it by all agents together (5m/day). k and m stand for thousands and millions. Those read from a cache count too, and they are most of all. May be repeated' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -l allow-repeat -d 'Calls whose repetition is intended, such as a poll of your own: they count for no detector of loops' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -s f -l follow -d 'Go on reading as files grow and new ones come, until a signal ends it'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -l new-only -d 'With --follow: pass over what files hold at the start, but for a last line that is not whole'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -l pass-through -d 'Write the input unchanged to standard output; events go where --events says'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -l no-progress -d 'Do not show on a terminal how far it is'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -l rule-stats -d 'Tell on standard error, at the end, how often each rule was tried and decided, on how many bytes, and how long that took'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand tap" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l act -d 'Bring the agent back from what can be brought back from: all of it, or only by these strategies' -r -f -a "all\t''
backoff\t''
retry_prompt_fix\t''
compact_context\t''
break_loop\t''
reset\t''
restart\t''
resume\t''
halt\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l profile -d 'How the agent is handled: a profile\'s name; auto tells by the command' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l backoff-mode -d 'What a wait does to an agent that still runs: resume (end it, and resume its session), pause (stop it until then)' -r -f -a "resume\t''
pause\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l max-restarts -d 'How often the agent is started again at most, within six hours' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l max-wait -d 'The longest wait for a limit; a longer one ends the run with status 84' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l fallback-model -d 'The model to go on with when the agent\'s own cannot be had' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l resume-wait -d 'Take up a run that waited for its time when session-doctor was ended: the latest one, or this one' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l events -d 'Append events to this file, or write them to an open file descriptor (fd:3) or to standard output (-)' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l emit -d 'Write only these types of events' -r -f -a "session_started\t''
session_updated\t''
finding\t''
alert\t''
decision\t''
outcome\t''
status\t''
usage\t''
summary\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l format -d 'How to write events: json (one object a line), text, auto (text on a terminal)' -r -f -a "auto\t''
json\t''
text\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l agent -d 'Whose output it is; auto tells by the bytes' -r -f -a "auto\t''
hook\t''
opencode\t''
copilot\t''
amp\t''
cursor\t''
goose\t''
pi\t''
qwen\t''
claude\t''
codex\t''
gemini\t''
mini\t''
swe_agent\t''
openhands\t''
aider\t''
markdown\t''
harness\t''
generic\t''
plain\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l time-zone -d 'Read times without a zone in this one: local, or an IANA name such as Europe/Berlin' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l budget-usd -d 'What may be spent, in US dollars: a run, or with /day or /project behind it all agents together (20/day); with /min it is a rate to be warned of. May be repeated' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l budget-tokens -d 'How many tokens may be used: in a run, or with /day or /project behind it by all agents together (5m/day). k and m stand for thousands and millions. Those read from a cache count too, and they are most of all. May be repeated' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l allow-repeat -d 'Calls whose repetition is intended, such as a poll of your own: they count for no detector of loops' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l pty -d 'Whether the command gets a terminal of its own: auto (where it would have one), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l stdin -d 'Where the command reads: inherit (as session-doctor itself), null (nothing)' -r -f -a "inherit\t''
null\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l timeout -d 'End the command when it takes longer than this: 90s, 10m, 2h, 1h30m; the status is then 124' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l idle-timeout -d 'End the command when it says nothing for so long, and no key is pressed; the status is then 124' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l grace -d 'How long a command that was told to end may take until it is killed' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l stop-signal -d 'The signal that tells the command to end: a name such as INT, or a number' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l stop-target -d 'Who gets that signal: child (the command alone), group (its process group), tree (all that descends from it)' -r -f -a "child\t''
group\t''
tree\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -l dry-run -d 'Only say what --act would do'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand wrap" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand usage" -l since -d 'Leave out what was before this day (2026-11-21)' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand usage" -l until -d 'Leave out what was after this day' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand usage" -l timezone -d 'Where days begin: local, or an IANA name such as Europe/Berlin' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand usage" -l agent -d 'Count what this agent used, and no other' -r -f -a "hook\t''
opencode\t''
copilot\t''
amp\t''
cursor\t''
goose\t''
pi\t''
qwen\t''
claude\t''
codex\t''
gemini\t''
mini\t''
swe_agent\t''
openhands\t''
aider\t''
markdown\t''
harness\t''
generic\t''
plain\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand usage" -l project -d 'Count sessions of projects whose path has this in it' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand usage" -l mode -d 'Whose cost counts: auto (the agent\'s where it states one), calculate (from the prices), display (the agent\'s alone)' -r -f -a "auto\t''
calculate\t''
display\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand usage" -l prices -d 'Take prices from this file, as LiteLLM (model_prices_and_context_window.json) or models.dev (api.json) write it' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand usage" -l threads -d 'How many files to read at a time; 0: as many as there are processor cores' -r
complete -c session-doctor -n "__fish_session_doctor_using_subcommand usage" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand usage" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand usage" -l json -d 'Write one JSON object'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand usage" -l csv -d 'Write CSV'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand usage" -l breakdown -d 'Tell for each row what each model used'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand usage" -l cache -d 'Keep what these files tell, and do not read them again while they have not changed'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand usage" -l no-cache -d 'Read all files, and keep nothing'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand usage" -l no-progress -d 'Do not show on a terminal how far it is'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand usage" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand check-tokens" -l session -d 'The session with this id, whatever its project' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand check-tokens" -l workspace -d 'The newest session of the project in this directory' -r -f -a "(__fish_complete_directories)"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand check-tokens" -l limit -d 'How many tokens the window holds. Else what the agent says, else what is known of its model' -r
complete -c session-doctor -n "__fish_session_doctor_using_subcommand check-tokens" -l warning -d 'From how many percent on to warn' -r
complete -c session-doctor -n "__fish_session_doctor_using_subcommand check-tokens" -l critical -d 'From how many percent on it is critical' -r
complete -c session-doctor -n "__fish_session_doctor_using_subcommand check-tokens" -l prices -d 'Take the windows of models from this file first, as LiteLLM or models.dev write it' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand check-tokens" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand check-tokens" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand check-tokens" -l json -d 'Write one JSON object'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand check-tokens" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand statusline" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand statusline" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand statusline" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand list-sessions" -l limit -d 'How many at the most; 0: all there are' -r
complete -c session-doctor -n "__fish_session_doctor_using_subcommand list-sessions" -l agent -d 'Those of this agent, and no other' -r -f -a "hook\t''
opencode\t''
copilot\t''
amp\t''
cursor\t''
goose\t''
pi\t''
qwen\t''
claude\t''
codex\t''
gemini\t''
mini\t''
swe_agent\t''
openhands\t''
aider\t''
markdown\t''
harness\t''
generic\t''
plain\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand list-sessions" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand list-sessions" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand list-sessions" -l all -d 'Those of every project, not of the one in the current directory alone'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand list-sessions" -l json -d 'Write one JSON object a line'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand list-sessions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and not __fish_seen_subcommand_from list update reset" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and not __fish_seen_subcommand_from list update reset" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and not __fish_seen_subcommand_from list update reset" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and not __fish_seen_subcommand_from list update reset" -f -a "list" -d 'Show the prices that hold, and where they come from'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and not __fish_seen_subcommand_from list update reset" -f -a "update" -d 'Store a list of prices; it stands in front of the built-in ones from then on'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and not __fish_seen_subcommand_from list update reset" -f -a "reset" -d 'Remove the stored list: the built-in prices hold again'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and __fish_seen_subcommand_from list" -l prices -d 'Show them as they are with this list, in place of the stored one' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and __fish_seen_subcommand_from list" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and __fish_seen_subcommand_from list" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and __fish_seen_subcommand_from list" -l json -d 'Write one JSON object'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and __fish_seen_subcommand_from update" -l file -d 'The list, as LiteLLM (model_prices_and_context_window.json) or models.dev (api.json) write it' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and __fish_seen_subcommand_from update" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and __fish_seen_subcommand_from update" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and __fish_seen_subcommand_from update" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and __fish_seen_subcommand_from reset" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and __fish_seen_subcommand_from reset" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand prices; and __fish_seen_subcommand_from reset" -s h -l help -d 'Print help'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand explain" -l loops -d 'Print the steps of a session instead, with what the detectors of loops counted: why an alert came, or did not' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand explain" -l agent -d 'Whose output it is; auto tells by the bytes' -r -f -a "auto\t''
hook\t''
opencode\t''
copilot\t''
amp\t''
cursor\t''
goose\t''
pi\t''
qwen\t''
claude\t''
codex\t''
gemini\t''
mini\t''
swe_agent\t''
openhands\t''
aider\t''
markdown\t''
harness\t''
generic\t''
plain\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand explain" -l format -d 'How to answer: json, text, auto (text on a terminal)' -r -f -a "auto\t''
json\t''
text\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand explain" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand explain" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand rules; and not __fish_seen_subcommand_from list check test" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand rules; and not __fish_seen_subcommand_from list check test" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand rules; and not __fish_seen_subcommand_from list check test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand rules; and not __fish_seen_subcommand_from list check test" -f -a "list" -d 'List the rules that hold, in the order in which equals win, and where they come from'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand rules; and not __fish_seen_subcommand_from list check test" -f -a "check" -d 'Look for mistakes in the rules of the configuration files, and of others'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand rules; and not __fish_seen_subcommand_from list check test" -f -a "test" -d 'Run the tests in a file, and the examples of the rules themselves'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand rules; and __fish_seen_subcommand_from list" -l format -d 'How to print: text, json (one object a line)' -r -f -a "text\t''
json\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand rules; and __fish_seen_subcommand_from list" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand rules; and __fish_seen_subcommand_from list" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand rules; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand rules; and __fish_seen_subcommand_from check" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand rules; and __fish_seen_subcommand_from check" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand rules; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand rules; and __fish_seen_subcommand_from test" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand rules; and __fish_seen_subcommand_from test" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand rules; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand calibrate" -l false-stop-rate -d 'How many good runs may be interrupted at most, as a share of all: more than 0, at most 0.5' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand calibrate" -l agent -d 'Whose output it is; auto tells by the bytes' -r -f -a "auto\t''
hook\t''
opencode\t''
copilot\t''
amp\t''
cursor\t''
goose\t''
pi\t''
qwen\t''
claude\t''
codex\t''
gemini\t''
mini\t''
swe_agent\t''
openhands\t''
aider\t''
markdown\t''
harness\t''
generic\t''
plain\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand calibrate" -l format -d 'How to answer: json (one object an agent), text, auto (text on a terminal)' -r -f -a "auto\t''
json\t''
text\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand calibrate" -l glob -d 'Read the files of a directory that match, as in a .gitignore; `!` excludes; may be repeated' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand calibrate" -l threads -d 'How many files to read at a time; 0: as many as there are processor cores' -r
complete -c session-doctor -n "__fish_session_doctor_using_subcommand calibrate" -l allow-repeat -d 'Calls whose repetition is intended: they count for no detector of loops' -r -f
complete -c session-doctor -n "__fish_session_doctor_using_subcommand calibrate" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand calibrate" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand calibrate" -l allow-lower -d 'Lower limits too, as far as the rate allows; never below the first limits, which warn'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand calibrate" -l write -d 'Store the limits in the user\'s configuration file, or in that of --config'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand calibrate" -l no-progress -d 'Do not show on a terminal how far it is'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand calibrate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand schema" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand schema" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand schema" -s h -l help -d 'Print help'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand config; and not __fish_seen_subcommand_from show paths" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand config; and not __fish_seen_subcommand_from show paths" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand config; and not __fish_seen_subcommand_from show paths" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand config; and not __fish_seen_subcommand_from show paths" -f -a "show" -d 'Print the settings that hold, as a configuration file'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand config; and not __fish_seen_subcommand_from show paths" -f -a "paths" -d 'List the configuration files that are looked for, in the order in which later ones win'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand config; and __fish_seen_subcommand_from show" -l format -d 'How to print: text (TOML), json' -r -f -a "text\t''
json\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand config; and __fish_seen_subcommand_from show" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand config; and __fish_seen_subcommand_from show" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand config; and __fish_seen_subcommand_from show" -l origins -d 'Say where each value comes from'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand config; and __fish_seen_subcommand_from paths" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand config; and __fish_seen_subcommand_from paths" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand config; and __fish_seen_subcommand_from paths" -s h -l help -d 'Print help'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand completions" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand completions" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c session-doctor -n "__fish_session_doctor_using_subcommand man" -l dir -d 'Write session-doctor.1 and a page for every command into this directory, which is made if it is not there' -r -f -a "(__fish_complete_directories)"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand man" -l config -d 'Read this configuration file over the system\'s, the user\'s and the project\'s' -r -F
complete -c session-doctor -n "__fish_session_doctor_using_subcommand man" -l color -d 'When to colour text: auto (on a terminal, unless NO_COLOR is set), always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c session-doctor -n "__fish_session_doctor_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
