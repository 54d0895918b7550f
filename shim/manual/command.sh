#!/bin/sh
# command.sh COMMAND TEMPLATE: prints ctxshim(1). Verbs and options are asked of the command itself, and the keys of
# CTXSHIM_OPTIONS of the library beside it: both have them from ../options.def, so the manual cannot say otherwise.
# In the template a line @VERBS@, @KEYS@ or @EXAMPLES@ stands for that part. VERSION is given by the Makefile.
set -eu

command=$1
template=$2
here=$(dirname "$0")

# Neither another preload nor options of the one who builds get into it.
ask() {
    env -u LD_PRELOAD -u CTXSHIM_OPTIONS LC_ALL=C "$@"
}

# help_of [VERB]: what it says to --help. One that fails leaves the manual unmade.
help_of() {
    ask "$command" "$@" --help
}

# part NAME: the help on stdin as roff; see help.awk.
part() {
    LC_ALL=C awk -v part="$1" -f "$here/help.awk"
}

verbs() {
    help=$(help_of)
    for verb in $(printf '%s\n' "$help" | LC_ALL=C awk -v part=verbs -f "$here/help.awk"); do
        help=$(help_of "$verb")
        printf '.SS "ctxshim %s"\n' "$verb"
        printf '%s\n' "$help" | part verb
    done
}

keys() {
    # The shim says it on stderr.
    keys=$(ask "$command" run --option=help=1 -- true 2>&1)
    printf '%s\n' "$keys" | part keys
}

synopsis() {
    help=$(help_of)
    printf '%s\n' "$help" | part synopsis
}

examples() {
    help=$(help_of)
    printf '%s\n' "$help" | part examples
}

while IFS= read -r line; do
    case $line in
    @SYNOPSIS@) synopsis ;;
    @VERBS@) verbs ;;
    @KEYS@) keys ;;
    @EXAMPLES@) examples ;;
    *@VERSION@*) printf '%s%s%s\n' "${line%%@VERSION@*}" "$VERSION" "${line#*@VERSION@}" ;;
    *) printf '%s\n' "$line" ;;
    esac
done <"$template"
