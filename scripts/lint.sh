#!/bin/sh
# lint.sh (`make lint`): clang-tidy (.clang-tidy), cppcheck and gcc -fanalyzer over what is preloaded and the command;
# over the scripts, shellcheck. Exit: 0 when none has anything to say, else 1. make format-check is the third kind of
# check.
set -eu

cd "$(dirname "$0")/.."
jobs=$(getconf _NPROCESSORS_ONLN)
glib=$(pkg-config --cflags glib-2.0)
preloaded='-std=c17 -D_GNU_SOURCE'
command="$preloaded -DCTXSHIM_VERSION=\"lint\" -DCTXSHIM_MULTIARCH=\"lint\" $glib"
bad=0

# tidy LESS FLAGS FILE...: LESS are checks that do not fit these files.
tidy() {
    less=$1
    flags=$2
    shift 2
    # shellcheck disable=SC2016
    printf '%s\n' "$@" | xargs -n 1 -P "$jobs" sh -c 'clang-tidy --quiet --checks="$0" "$2" -- $1 2>/dev/null' \
        "$less" "$flags" || bad=1
}

# Suppressed, since cppcheck 2.10 does not know: the uses of a nameless struct's members; that exit() needs no va_end
# before it.
check() {
    cppcheck --quiet --language=c --std=c11 --enable=warning,style,performance,portability --inline-suppr \
        --error-exitcode=1 --template=gcc -j "$jobs" -D__x86_64__ -D__LP64__ \
        --suppress=unusedStructMember --suppress=va_end_missing --suppress=missingIncludeSystem "$@" || bad=1
}

echo "clang-tidy"
tidy '' "$preloaded" ctxstore/*.c shim/*.c
# A hook's parameters have names, libc's have reserved ones; fortified.h declares what not every libc's headers do.
tidy -readability-inconsistent-declaration-parameter-name,-readability-redundant-declaration "$preloaded" hooks/*.c
tidy '' "$command" shim/command/*.c scripts/gdb/*.c

echo "cppcheck"
check -D_GNU_SOURCE ctxstore/*.c shim/*.c hooks/*.c
check -D_GNU_SOURCE '-DCTXSHIM_VERSION="lint"' '-DCTXSHIM_MULTIARCH="lint"' shim/command/*.c

# What reads like a fault along some path: of gcc's analyzer, which runs while it compiles.
echo "gcc -fanalyzer"
analyze() {
    flags=$1
    shift
    # shellcheck disable=SC2016
    printf '%s\n' "$@" | xargs -n 1 -P "$jobs" sh -c 'gcc -O2 -fanalyzer -Werror $0 -c -o /dev/null "$1"' \
        "$flags" || bad=1
}
analyze "$preloaded -fexceptions" ctxstore/*.c shim/*.c hooks/*.c
analyze "$command" shim/command/*.c

echo "shellcheck"
shellcheck -x .ci/run scripts/*.sh scripts/install/*.sh shim/manual/*.sh tests/servers/*.sh || bad=1
shellcheck --shell=bash shim/command/completion.bash || bad=1

[ "$bad" -eq 0 ] || echo "lint: see above"
exit "$bad"
