complete -c dms -l data-dir -d 'Directory that holds everything of this installation; made if missing' -r -F
complete -c dms -l interface -d 'Serve only this configured interface (may be repeated); without it, all of them' -r
complete -c dms -l metrics -d 'Where /metrics, /healthz and /readyz answer; without it, nowhere' -r
complete -c dms -l log-format -d 'Form of log lines' -r -f -a "json\t'One JSON object a line'
text\t'For people'"
complete -c dms -l log-level -d 'Severity of log lines, whatever the setting System/Logging says' -r -f -a "error\t'Only what needs somebody'
warn\t'And what may need somebody'
notice\t'And what changes how the node serves, and who was refused'
info\t'And what happens, a line per request'
debug\t'And why'
trace\t'And how'"
complete -c dms -l check-config -d 'Do everything that a start does up to binding interfaces, say what is wrong, and end'
complete -c dms -l exit-with-parent -d 'End, as on a signal, when the standard input reaches its end: when the parent process is gone'
complete -c dms -s h -l help -d 'Print help (see more with \'--help\')'
complete -c dms -s V -l version -d 'Print version'
