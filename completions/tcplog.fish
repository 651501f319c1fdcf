# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_tcplog_global_optspecs
    string join \n j/jobs= q/quiet v/verbose progress= color= strict formats= h/help V/version
end

function __fish_tcplog_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_tcplog_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_tcplog_using_subcommand
    set -l cmd (__fish_tcplog_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c tcplog -n "__fish_tcplog_needs_command" -s j -l jobs -d 'Threads to use; output is the same for any number [default: one per core]' -r
complete -c tcplog -n "__fish_tcplog_needs_command" -l progress -d 'Show progress on standard error' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_needs_command" -l color -d 'Use colors (NO_COLOR is honoured)' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_needs_command" -l formats -d 'Read format files from this directory; they add to or replace those of this build' -r -F
complete -c tcplog -n "__fish_tcplog_needs_command" -s q -l quiet -d 'Say nothing but errors'
complete -c tcplog -n "__fish_tcplog_needs_command" -s v -l verbose -d 'Say or show more; may be repeated'
complete -c tcplog -n "__fish_tcplog_needs_command" -l strict -d 'Exit with status 2 if anything is damaged'
complete -c tcplog -n "__fish_tcplog_needs_command" -s h -l help -d 'Print help'
complete -c tcplog -n "__fish_tcplog_needs_command" -s V -l version -d 'Print version'
complete -c tcplog -n "__fish_tcplog_needs_command" -f -a "convert" -d 'Write records as pcapng that Wireshark dissects'
complete -c tcplog -n "__fish_tcplog_needs_command" -f -a "filter" -d 'Keep some records, in the input\'s own form'
complete -c tcplog -n "__fish_tcplog_needs_command" -f -a "show" -d 'Show records with their fields'
complete -c tcplog -n "__fish_tcplog_needs_command" -f -a "info" -d 'Sum up each connection, and everything'
complete -c tcplog -n "__fish_tcplog_needs_command" -f -a "carve" -d 'Get records and saved packets out of memory images'
complete -c tcplog -n "__fish_tcplog_needs_command" -f -a "record" -d 'Collect what the kernel\'s black box hands out, for as long as it runs'
complete -c tcplog -n "__fish_tcplog_needs_command" -f -a "compare" -d 'Compare logs with a capture of the wire'
complete -c tcplog -n "__fish_tcplog_needs_command" -f -a "formats" -d 'List the layouts, events, payloads, flags and codes this build knows'
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l input-format -d 'Take the inputs for this kind instead of recognising them by content' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l zcs-ports -d 'How the zero-copy sniffer\'s log prints ports: as a little-endian host reads them, or as they are' -r -f -a "auto\t'Told by how many ports are well known each way'
swapped\t''
printed\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l id -d 'Log ID that matches this glob: `*` is any run of bytes, `?` any byte, `[a-z]` one of a set, `{a,b}` either, and `\\` takes the next character as it is' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l tag -d 'Tag that matches this glob' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l reason -d 'Dump reason that matches this glob' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l host -d 'Address of either end, or a prefix of it' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l port -d 'Port of either end' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l event -d 'Event by name or number; several with commas' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l stack -d 'Name of the TCP stack, or its number' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l sn -d 'Serial numbers, both ends included' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l since -d 'Not before: RFC 3339, Unix seconds, or +seconds from the first record' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l until -d 'Not after: RFC 3339, Unix seconds, or +seconds from the first record' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -s o -l output -d 'Write everything to this file; `-` is standard output' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -s D -l directory -d 'Write one file per group into this directory' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l split -d 'What makes a group: log-id, connection or message' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l compat -d 'Write byte for byte the files and index of another program' -r -f -a "tcplog_dumper\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l format -d 'Form of the output' -r -f -a "pcapng\t'pcapng, for Wireshark'
stream\t'What /dev/tcp_log hands out'"
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l dumptime -d 'Time of writing to put into the file, Unix seconds [default: SOURCE_DATE_EPOCH, else now]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l release -d 'Release that logged, where a number alone does not say what it means [12.0, 12, 13.0, 13, 14, 15, main]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l stack-name -d 'Name of a TCP stack id, as sysctl net.inet.tcp.function_info gives it' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -s j -l jobs -d 'Threads to use; output is the same for any number [default: one per core]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l progress -d 'Show progress on standard error' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l color -d 'Use colors (NO_COLOR is honoured)' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l formats -d 'Read format files from this directory; they add to or replace those of this build' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l merge -d 'One section with all records in time order, one interface per connection'
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l no-comments -d 'Leave the comments out'
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -s q -l quiet -d 'Say nothing but errors'
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -s v -l verbose -d 'Say or show more; may be repeated'
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -l strict -d 'Exit with status 2 if anything is damaged'
complete -c tcplog -n "__fish_tcplog_using_subcommand convert" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l input-format -d 'Take the inputs for this kind instead of recognising them by content' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l zcs-ports -d 'How the zero-copy sniffer\'s log prints ports: as a little-endian host reads them, or as they are' -r -f -a "auto\t'Told by how many ports are well known each way'
swapped\t''
printed\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l id -d 'Log ID that matches this glob: `*` is any run of bytes, `?` any byte, `[a-z]` one of a set, `{a,b}` either, and `\\` takes the next character as it is' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l tag -d 'Tag that matches this glob' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l reason -d 'Dump reason that matches this glob' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l host -d 'Address of either end, or a prefix of it' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l port -d 'Port of either end' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l event -d 'Event by name or number; several with commas' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l stack -d 'Name of the TCP stack, or its number' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l sn -d 'Serial numbers, both ends included' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l since -d 'Not before: RFC 3339, Unix seconds, or +seconds from the first record' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l until -d 'Not after: RFC 3339, Unix seconds, or +seconds from the first record' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -s o -l output -d 'Write to this file; `-` is standard output' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l release -d 'Release that logged, where a number alone does not say what it means [12.0, 12, 13.0, 13, 14, 15, main]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l stack-name -d 'Name of a TCP stack id, as sysctl net.inet.tcp.function_info gives it' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -s j -l jobs -d 'Threads to use; output is the same for any number [default: one per core]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l progress -d 'Show progress on standard error' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l color -d 'Use colors (NO_COLOR is honoured)' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l formats -d 'Read format files from this directory; they add to or replace those of this build' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -s q -l quiet -d 'Say nothing but errors'
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -s v -l verbose -d 'Say or show more; may be repeated'
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -l strict -d 'Exit with status 2 if anything is damaged'
complete -c tcplog -n "__fish_tcplog_using_subcommand filter" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l input-format -d 'Take the inputs for this kind instead of recognising them by content' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l zcs-ports -d 'How the zero-copy sniffer\'s log prints ports: as a little-endian host reads them, or as they are' -r -f -a "auto\t'Told by how many ports are well known each way'
swapped\t''
printed\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l id -d 'Log ID that matches this glob: `*` is any run of bytes, `?` any byte, `[a-z]` one of a set, `{a,b}` either, and `\\` takes the next character as it is' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l tag -d 'Tag that matches this glob' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l reason -d 'Dump reason that matches this glob' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l host -d 'Address of either end, or a prefix of it' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l port -d 'Port of either end' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l event -d 'Event by name or number; several with commas' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l stack -d 'Name of the TCP stack, or its number' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l sn -d 'Serial numbers, both ends included' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l since -d 'Not before: RFC 3339, Unix seconds, or +seconds from the first record' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l until -d 'Not after: RFC 3339, Unix seconds, or +seconds from the first record' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l format -d 'Form of the output' -r -f -a "text\t''
json\t''
csv\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l time -d 'What a line of text begins with' -r -f -a "relative\t'Seconds since the first record shown of the input'
delta\t'Seconds since the line before of the same connection'
wall\t'Time of day, UTC'
uptime\t'Seconds since the host booted'"
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l release -d 'Release that logged, where a number alone does not say what it means [12.0, 12, 13.0, 13, 14, 15, main]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l stack-name -d 'Name of a TCP stack id, as sysctl net.inet.tcp.function_info gives it' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -s j -l jobs -d 'Threads to use; output is the same for any number [default: one per core]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l progress -d 'Show progress on standard error' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l color -d 'Use colors (NO_COLOR is honoured)' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l formats -d 'Read format files from this directory; they add to or replace those of this build' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -s f -l follow -d 'Wait at the end of a file for what is appended; a device or pipe is always read as it comes'
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l relative-seq -d 'Count sequence numbers of text from the initial ones'
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l show-pointers -d 'Show kernel addresses in payloads instead of masking them'
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -s q -l quiet -d 'Say nothing but errors'
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -s v -l verbose -d 'Say or show more; may be repeated'
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -l strict -d 'Exit with status 2 if anything is damaged'
complete -c tcplog -n "__fish_tcplog_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l input-format -d 'Take the inputs for this kind instead of recognising them by content' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l zcs-ports -d 'How the zero-copy sniffer\'s log prints ports: as a little-endian host reads them, or as they are' -r -f -a "auto\t'Told by how many ports are well known each way'
swapped\t''
printed\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l id -d 'Log ID that matches this glob: `*` is any run of bytes, `?` any byte, `[a-z]` one of a set, `{a,b}` either, and `\\` takes the next character as it is' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l tag -d 'Tag that matches this glob' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l reason -d 'Dump reason that matches this glob' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l host -d 'Address of either end, or a prefix of it' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l port -d 'Port of either end' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l event -d 'Event by name or number; several with commas' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l stack -d 'Name of the TCP stack, or its number' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l sn -d 'Serial numbers, both ends included' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l since -d 'Not before: RFC 3339, Unix seconds, or +seconds from the first record' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l until -d 'Not after: RFC 3339, Unix seconds, or +seconds from the first record' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l format -d 'Form of the output' -r -f -a "text\t''
json\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l release -d 'Release that logged, where a number alone does not say what it means [12.0, 12, 13.0, 13, 14, 15, main]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l stack-name -d 'Name of a TCP stack id, as sysctl net.inet.tcp.function_info gives it' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -s j -l jobs -d 'Threads to use; output is the same for any number [default: one per core]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l progress -d 'Show progress on standard error' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l color -d 'Use colors (NO_COLOR is honoured)' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l formats -d 'Read format files from this directory; they add to or replace those of this build' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -s q -l quiet -d 'Say nothing but errors'
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -s v -l verbose -d 'Say or show more; may be repeated'
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -l strict -d 'Exit with status 2 if anything is damaged'
complete -c tcplog -n "__fish_tcplog_using_subcommand info" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -s o -l output -d 'Write everything to this file; `-` is standard output' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -s D -l directory -d 'Write one pcapng file per group into this directory' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l split -d 'What makes a group: log-id, connection or message' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l format -d 'Form of the output' -r -f -a "pcapng\t'pcapng, for Wireshark'
stream\t'What /dev/tcp_log hands out; without packets'
json\t'One object per finding'"
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l min-confidence -d 'Leave out findings that are less sure, 0 to 100; two independent signs give 50' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l boot-time -d 'Boot time of the machine, if the image does not hold it: RFC 3339 or Unix seconds' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l kernel -d 'Kernel file of the dump, with symbols and debug information' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l machine -d 'Machine of a raw image [default: 64 bits, little endian]' -r -f -a "amd64\t''
arm64\t''
riscv64\t''
i386\t''
arm\t''
powerpc64\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l physical-map -d 'Of a raw image of physical memory: where bytes of the file lie, in numbers like 0x1000' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l dumptime -d 'Time of writing to put into the file, Unix seconds [default: SOURCE_DATE_EPOCH, else now]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l id -d 'Log ID that matches this glob: `*` is any run of bytes, `?` any byte, `[a-z]` one of a set, `{a,b}` either, and `\\` takes the next character as it is' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l tag -d 'Tag that matches this glob' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l reason -d 'Dump reason that matches this glob' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l host -d 'Address of either end, or a prefix of it' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l port -d 'Port of either end' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l event -d 'Event by name or number; several with commas' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l stack -d 'Name of the TCP stack, or its number' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l sn -d 'Serial numbers, both ends included' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l since -d 'Not before: RFC 3339, Unix seconds, or +seconds from the first record' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l until -d 'Not after: RFC 3339, Unix seconds, or +seconds from the first record' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l release -d 'Release that logged, where a number alone does not say what it means [12.0, 12, 13.0, 13, 14, 15, main]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l stack-name -d 'Name of a TCP stack id, as sysctl net.inet.tcp.function_info gives it' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -s j -l jobs -d 'Threads to use; output is the same for any number [default: one per core]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l progress -d 'Show progress on standard error' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l color -d 'Use colors (NO_COLOR is honoured)' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l formats -d 'Read format files from this directory; they add to or replace those of this build' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l live-only -d 'Leave out what the kernel had freed'
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l no-comments -d 'Leave the comments out'
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -s q -l quiet -d 'Say nothing but errors'
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -s v -l verbose -d 'Say or show more; may be repeated'
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -l strict -d 'Exit with status 2 if anything is damaged'
complete -c tcplog -n "__fish_tcplog_using_subcommand carve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -s f -l device -d 'Device to read; a FIFO, a file or `-` will do as well' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -s D -l directory -d 'Write into this directory; it is made if its parent is there' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l split -d 'What gets a file of its own: log-id, connection or message' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l compress -d 'Compress the files: none, gzip, zstd or xz' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l rotate-size -d 'Finish a connection\'s or log ID\'s file when it has this size' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l rotate-age -d 'Finish a connection\'s or log ID\'s file when it is this old' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l max-disk -d 'Remove the oldest finished files when all take up more than this' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l min-records -d 'Leave out messages with fewer wanted records' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l queue -d 'Memory for messages that wait to be written' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l on-overload -d 'What to do when that is full: block lets the kernel keep what is not read, drop-oldest gives up what waits longest' -r -f -a "block\t''
drop-oldest\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -s u -l user -d 'Go on as this user after the device is opened [default: nobody, if started by root]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l log -d 'Say what happens in this file instead of on standard error' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l id -d 'Log ID that matches this glob: `*` is any run of bytes, `?` any byte, `[a-z]` one of a set, `{a,b}` either, and `\\` takes the next character as it is' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l tag -d 'Tag that matches this glob' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l reason -d 'Dump reason that matches this glob' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l host -d 'Address of either end, or a prefix of it' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l port -d 'Port of either end' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l event -d 'Event by name or number; several with commas' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l stack -d 'Name of the TCP stack, or its number' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l sn -d 'Serial numbers, both ends included' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l since -d 'Not before: RFC 3339, Unix seconds, or +seconds from the first record' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l until -d 'Not after: RFC 3339, Unix seconds, or +seconds from the first record' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l release -d 'Release that logged, where a number alone does not say what it means [12.0, 12, 13.0, 13, 14, 15, main]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l stack-name -d 'Name of a TCP stack id, as sysctl net.inet.tcp.function_info gives it' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -s j -l jobs -d 'Threads to use; output is the same for any number [default: one per core]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l progress -d 'Show progress on standard error' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l color -d 'Use colors (NO_COLOR is honoured)' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l formats -d 'Read format files from this directory; they add to or replace those of this build' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l sync -d 'Wait until a file is on the disk before the index tells of it'
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l comments -d 'Put a comment in words on each block'
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l no-sandbox -d 'Do not enter FreeBSD\'s capability mode'
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l check -d 'Only say whether kernel, device, directory and user are ready'
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -s q -l quiet -d 'Say nothing but errors'
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -s v -l verbose -d 'Say or show more; may be repeated'
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -l strict -d 'Exit with status 2 if anything is damaged'
complete -c tcplog -n "__fish_tcplog_using_subcommand record" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l input-format -d 'Take the inputs for this kind instead of recognising them by content' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l zcs-ports -d 'How the zero-copy sniffer\'s log prints ports: as a little-endian host reads them, or as they are' -r -f -a "auto\t'Told by how many ports are well known each way'
swapped\t''
printed\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l id -d 'Log ID that matches this glob: `*` is any run of bytes, `?` any byte, `[a-z]` one of a set, `{a,b}` either, and `\\` takes the next character as it is' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l tag -d 'Tag that matches this glob' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l reason -d 'Dump reason that matches this glob' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l host -d 'Address of either end, or a prefix of it' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l port -d 'Port of either end' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l event -d 'Event by name or number; several with commas' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l stack -d 'Name of the TCP stack, or its number' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l sn -d 'Serial numbers, both ends included' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l since -d 'Not before: RFC 3339, Unix seconds, or +seconds from the first record' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l until -d 'Not after: RFC 3339, Unix seconds, or +seconds from the first record' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l capture -d 'Capture to compare with: pcap or pcapng; may be repeated for the parts of one capture' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l format -d 'Form of the report' -r -f -a "text\t''
json\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l list -d 'Name so many segments of each kind one by one, per connection [default: 0 as text, 1000 as JSON]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -s o -l output -d 'Also draw sequence numbers over time, sent and missed, as SVG into this file' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l release -d 'Release that logged, where a number alone does not say what it means [12.0, 12, 13.0, 13, 14, 15, main]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l stack-name -d 'Name of a TCP stack id, as sysctl net.inet.tcp.function_info gives it' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -s j -l jobs -d 'Threads to use; output is the same for any number [default: one per core]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l progress -d 'Show progress on standard error' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l color -d 'Use colors (NO_COLOR is honoured)' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l formats -d 'Read format files from this directory; they add to or replace those of this build' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -s q -l quiet -d 'Say nothing but errors'
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -s v -l verbose -d 'Say or show more; may be repeated'
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -l strict -d 'Exit with status 2 if anything is damaged'
complete -c tcplog -n "__fish_tcplog_using_subcommand compare" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c tcplog -n "__fish_tcplog_using_subcommand formats" -l format -d 'Form of the output' -r -f -a "text\t''
json\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand formats" -l release -d 'Release that logged, where a number alone does not say what it means [12.0, 12, 13.0, 13, 14, 15, main]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand formats" -l stack-name -d 'Name of a TCP stack id, as sysctl net.inet.tcp.function_info gives it' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand formats" -s j -l jobs -d 'Threads to use; output is the same for any number [default: one per core]' -r
complete -c tcplog -n "__fish_tcplog_using_subcommand formats" -l progress -d 'Show progress on standard error' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand formats" -l color -d 'Use colors (NO_COLOR is honoured)' -r -f -a "auto\t''
always\t''
never\t''"
complete -c tcplog -n "__fish_tcplog_using_subcommand formats" -l formats -d 'Read format files from this directory; they add to or replace those of this build' -r -F
complete -c tcplog -n "__fish_tcplog_using_subcommand formats" -l wireshark -d 'Print a plugin for Wireshark that names what is in the stack specific bytes'
complete -c tcplog -n "__fish_tcplog_using_subcommand formats" -l dtrace -d 'Print the D script whose lines tcplog reads: every probe of the SCTP provider'
complete -c tcplog -n "__fish_tcplog_using_subcommand formats" -s q -l quiet -d 'Say nothing but errors'
complete -c tcplog -n "__fish_tcplog_using_subcommand formats" -s v -l verbose -d 'Say or show more; may be repeated'
complete -c tcplog -n "__fish_tcplog_using_subcommand formats" -l strict -d 'Exit with status 2 if anything is damaged'
complete -c tcplog -n "__fish_tcplog_using_subcommand formats" -s h -l help -d 'Print help (see more with \'--help\')'
