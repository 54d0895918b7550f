# Bash completion of ctxshim. Commands and options are asked of the command itself: what it says to --help is what can
# be completed, so that a new option needs nothing here. Works with and without the package bash-completion.

# _ctxshim_help COMMAND [VERB]: what it says; nothing when it cannot.
_ctxshim_help() {
    LD_PRELOAD='' CTXSHIM_OPTIONS='' "$@" --help 2>/dev/null
}

# _ctxshim_options: of the help on stdin, the options; "--key=" where a value follows.
_ctxshim_options() {
    sed -n '/^ *-/{s/^ *\(-[a-z], \)\{0,1\}\(--[a-z-]*=\{0,1\}\).*/\2/p;}'
}

# _ctxshim_choices OPTION: of the help on stdin, the words that the option takes.
_ctxshim_choices() {
    sed -n "s/^ *\(-[a-z], \)\{0,1\}$1=\([a-z]*|[a-z|]*\).*/\2/p" | tr '|' '\n'
}

# _ctxshim_takes OPTION: does it take the word behind it for its value? A list that stands alone does not.
_ctxshim_takes() {
    grep -e "^ *\(-[a-z], \)\{0,1\}$1=" | grep -qv -e '=LIST '
}

# The processes that run under the shim, as far as one may see.
_ctxshim_pids() {
    local maps
    while read -r maps; do
        maps=${maps#/proc/}
        printf '%s\n' "${maps%/maps}"
    done < <(grep -ls '/libctxshim\.so' /proc/[0-9]*/maps 2>/dev/null)
}

# _ctxshim_words WORDS CURRENT: those that fit. With "=" at the end no blank follows.
_ctxshim_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
    if [[ ${COMPREPLY[0]-} == *= ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

# _ctxshim_files CURRENT
_ctxshim_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

# The value of an option, CURRENT being what there is of it.
_ctxshim_value() {
    local help=$1 option=$2 current=$3 choices
    choices=$(printf '%s\n' "$help" | _ctxshim_choices "$option")
    if [[ -n $choices ]]; then
        _ctxshim_words "$choices" "$current"
    elif [[ $option == --annotate ]]; then
        _ctxshim_words 'stderr stdout' "$current"
    else
        _ctxshim_files "$current"
    fi
}

# _ctxshim_program HELP: where, in the words of the line, PROGRAM stands behind `run`; 0: not yet. "=" is a word of its
# own.
_ctxshim_program() {
    local i
    for ((i = 2; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        --) echo $((i + 1)) && return ;;
        = | :) ((i++)) ;;
        -*)
            if [[ ${COMP_WORDS[i + 1]-} != = ]] && printf '%s\n' "$1" | _ctxshim_takes "${COMP_WORDS[i]}"; then
                ((i++))
            fi
            ;;
        *) echo "$i" && return ;;
        esac
    done
    echo 0
}

# What belongs to PROGRAM is completed as if it stood alone, where bash-completion is there to do that.
_ctxshim_of_program() {
    local at=$1 current=$2
    if ((at < COMP_CWORD)) && declare -F _command_offset >/dev/null; then
        _command_offset "$at"
    elif ((at < COMP_CWORD)) || [[ $current == */* ]]; then
        _ctxshim_files "$current"
    else
        mapfile -t COMPREPLY < <(compgen -c -- "$current")
    fi
}

_ctxshim() {
    local command=${COMP_WORDS[0]} verb=${COMP_WORDS[1]-} current=${COMP_WORDS[COMP_CWORD]} before='' help at
    COMPREPLY=()
    ((COMP_CWORD > 1)) && before=${COMP_WORDS[COMP_CWORD - 1]}
    if ((COMP_CWORD == 1)); then
        help=$(_ctxshim_help "$command")
        _ctxshim_words "$(printf '%s\n' "$help" | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p') --help --version" \
            "$current"
        return
    fi
    help=$(_ctxshim_help "$command" "$verb")
    if [[ $verb == run ]]; then
        at=$(_ctxshim_program "$help")
        if ((at > 0)); then
            _ctxshim_of_program "$at" "$current"
            return
        fi
    fi
    if [[ $current == = ]]; then
        _ctxshim_value "$help" "$before" ''
    elif [[ $before == = ]]; then
        _ctxshim_value "$help" "${COMP_WORDS[COMP_CWORD - 2]}" "$current"
    elif [[ $verb == run && $before == --* ]] && printf '%s\n' "$help" | _ctxshim_takes "$before"; then
        _ctxshim_value "$help" "$before" "$current"
    elif [[ $current == -* ]]; then
        _ctxshim_words "$(printf '%s\n' "$help" | _ctxshim_options)" "$current"
    elif [[ $verb == run ]]; then
        _ctxshim_of_program "$COMP_CWORD" "$current"
    elif [[ $verb == ps ]]; then
        _ctxshim_words "$(_ctxshim_pids)" "$current"
        ((${#COMPREPLY[@]} > 0)) || _ctxshim_files "$current"
    else
        _ctxshim_files "$current"
    fi
}

complete -F _ctxshim ctxshim
