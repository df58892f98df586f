# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_adp_global_optspecs
    string join \n h/help V/version
end

function __fish_adp_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_adp_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_adp_using_subcommand
    set -l cmd (__fish_adp_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c adp -n "__fish_adp_needs_command" -s h -l help -d 'Print help'
complete -c adp -n "__fish_adp_needs_command" -s V -l version -d 'Print version'
complete -c adp -n "__fish_adp_needs_command" -f -a "lab" -d 'Serve everything on loopback, with an embedded application server and a seeded enterprise'
complete -c adp -n "__fish_adp_needs_command" -f -a "run" -d 'Host applications of an installation'
complete -c adp -n "__fish_adp_needs_command" -f -a "stand-ins" -d 'Run only the lab\'s stand-ins of APNs and FCM, for processes that are started one by one'
complete -c adp -n "__fish_adp_using_subcommand lab" -l data-dir -d 'Everything that the lab writes lies below this directory' -r -F
complete -c adp -n "__fish_adp_using_subcommand lab" -l port-base -d 'Use nine ports from this one on, in place of 8443, 8011, 8012, 9443, 9090, 9091, 9446, 9447 and 9448' -r
complete -c adp -n "__fish_adp_using_subcommand lab" -l traffic -d 'Let parties from outside call in N times a second; the people answer, talk, hold, send on and hang up' -r
complete -c adp -n "__fish_adp_using_subcommand lab" -l log-format -d 'Form of log lines' -r -f -a "json\t'One JSON object a line'
text\t'For people'"
complete -c adp -n "__fish_adp_using_subcommand lab" -l log-level -d 'Severity of log lines' -r -f -a "error\t'Only what needs somebody'
warn\t'And what may need somebody'
notice\t'And what changes how the node serves, and who was refused'
info\t'And what happens, a line per request'
debug\t'And why'
trace\t'And how'"
complete -c adp -n "__fish_adp_using_subcommand lab" -l describe -d 'Print URLs, accounts and files as one JSON object and end; seeds an empty directory'
complete -c adp -n "__fish_adp_using_subcommand lab" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c adp -n "__fish_adp_using_subcommand run" -l data-dir -d 'Directory that holds everything of this installation; made if missing' -r -F
complete -c adp -n "__fish_adp_using_subcommand run" -l interface -d 'Serve only this configured interface (may be repeated); without it, all of them' -r
complete -c adp -n "__fish_adp_using_subcommand run" -l metrics -d 'Where /metrics, /healthz and /readyz answer; without it, nowhere' -r
complete -c adp -n "__fish_adp_using_subcommand run" -l log-format -d 'Form of log lines' -r -f -a "json\t'One JSON object a line'
text\t'For people'"
complete -c adp -n "__fish_adp_using_subcommand run" -l log-level -d 'Severity of log lines, whatever the setting System/Logging says' -r -f -a "error\t'Only what needs somebody'
warn\t'And what may need somebody'
notice\t'And what changes how the node serves, and who was refused'
info\t'And what happens, a line per request'
debug\t'And why'
trace\t'And how'"
complete -c adp -n "__fish_adp_using_subcommand run" -l config -d 'Host configuration; flags given beside it win' -r -F
complete -c adp -n "__fish_adp_using_subcommand run" -l application -d 'What to host: authservice, xsi, cti, dms, nps (may be repeated, or separated by commas)' -r
complete -c adp -n "__fish_adp_using_subcommand run" -l check-config -d 'Do everything that a start does up to binding interfaces, say what is wrong, and end'
complete -c adp -n "__fish_adp_using_subcommand run" -l exit-with-parent -d 'End, as on a signal, when the standard input reaches its end: when the parent process is gone'
complete -c adp -n "__fish_adp_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c adp -n "__fish_adp_using_subcommand stand-ins" -l data-dir -d 'The lab\'s data directory' -r -F
complete -c adp -n "__fish_adp_using_subcommand stand-ins" -s h -l help -d 'Print help'
