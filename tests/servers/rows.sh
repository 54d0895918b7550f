# What goes through the rows of matrix.txt (matrix.sh, leaks.sh) shares. To be read in by a POSIX shell.
# shellcheck shell=sh

progress() {
    echo "$*" >&2
}

# wanted LINE [WORD...]: has the line of this row one of the words? Without words, every row is wanted.
wanted() {
    [ $# -gt 1 ] || return 0
    line=$1
    shift
    for word in "$@"; do
        case $line in
        *"$word"*) return 0 ;;
        esac
    done
    return 1
}
