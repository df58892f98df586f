complete -c adpcli -s c -d 'A command; may be given several times' -r
complete -c adpcli -s f -d 'A file of commands' -r -F
complete -c adpcli -s o -l output -d 'How answers are written' -r -f -a "text\t''
json\t''
csv\t''"
complete -c adpcli -l secret-file -d 'What to answer when the secret NAME is asked for: the first line of a file' -r
complete -c adpcli -l data-dir -d 'The installation' -r -F
complete -c adpcli -l home -d 'The operator\'s home' -r -F
complete -c adpcli -l term -d 'What the terminal calls itself' -r
complete -c adpcli -s k -d 'Go on after a command that failed'
complete -c adpcli -s y -l yes -d 'Say yes to every confirmation'
complete -c adpcli -s n -l dry-run -d 'Check changes and show what they would do, without making them'
complete -c adpcli -l force -d 'Accept changes although a check that may be overruled refuses them'
complete -c adpcli -s q -l quiet -d 'No banner, and no echo of the commands of a file'
complete -c adpcli -l strict -d 'Exit with 5 when something that was done takes effect only after a restart'
complete -c adpcli -l plain -d 'No line editing: lines are typed as into any other program'
complete -c adpcli -l no-rc -d 'Run no commands of ~/.adpclirc before the first prompt'
complete -c adpcli -s h -l help -d 'Print help (see more with \'--help\')'
complete -c adpcli -s V -l version -d 'Print version'
