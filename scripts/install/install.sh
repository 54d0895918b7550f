#!/bin/sh
# install.sh install|uninstall: puts what `make` built where it belongs, or takes away exactly that. Called by the
# Makefile, which gives VERSION, BUILD, DESTDIR, PREFIX and the directories BINDIR to AUTOLOADDIR.
#
# The library lies in a directory of its own: nobody links it, the loader's search must not meet it, and
# `ctxshim run` finds it from where the command is. Its file has the whole version; the links are the SONAME and the
# name that people write into LD_PRELOAD.
set -eu

cd "$(dirname "$0")/../.."
action=${1:-}
private=$LIBDIR/ctxshim
real=libctxshim.so.$VERSION
soname=libctxshim.so.${VERSION%%.*}
gdb=$DATADIR/ctxshim/gdb
autoload=$AUTOLOADDIR
completions=$DATADIR/bash-completion/completions

# put MODE SOURCE TARGET; or takes TARGET away, as the next two do.
put() {
    rm -f "$DESTDIR$3"
    [ "$action" = uninstall ] || install -D -m "$1" "$2" "$DESTDIR$3"
}

# link TEXT TARGET
link() {
    rm -f "$DESTDIR$2"
    [ "$action" = uninstall ] || ln -s "$1" "$DESTDIR$2"
}

# fill SOURCE TARGET: with the names of directories in place of @PREFIX@ and its like.
fill() {
    filled=$(mktemp)
    sed -e "s|@PREFIX@|$PREFIX|" -e "s|@LIBDIR@|$LIBDIR|" -e "s|@INCLUDEDIR@|$INCLUDEDIR|" -e "s|@GDBDIR@|$gdb|" \
        -e "s|@VERSION@|$VERSION|" "$1" >"$filled"
    put 644 "$filled" "$2"
    rm -f "$filled"
}

everything() {
    put 755 "$BUILD/ctxshim" "$BINDIR/ctxshim"
    put 755 "$BUILD/libctxshim.so" "$private/$real"
    link "$real" "$private/$soname"
    link "$soname" "$private/libctxshim.so"
    put 644 shim/ctxshim.h "$INCLUDEDIR/ctxshim.h"
    put 644 shim/ctxshim.hpp "$INCLUDEDIR/ctxshim.hpp"
    fill scripts/install/ctxshim.pc.in "$LIBDIR/pkgconfig/ctxshim.pc"
    for page in "$BUILD"/man/man?/*.[1-9]; do
        put 644 "$page" "$MANDIR/${page#"$BUILD"/man/}"
    done
    put 644 shim/command/completion.bash "$completions/ctxshim"
    for module in scripts/gdb/ctxshim_gdb/*.py; do
        put 644 "$module" "$gdb/ctxshim_gdb/${module##*/}"
    done
    # gdb looks there for the library's path, with every symbolic link in it resolved.
    fill "$BUILD/gdb/stub.py" "$autoload$(resolved "$private")/$real-gdb.py"
}

# resolved DIRECTORY: as it will be seen where DESTDIR is the root.
resolved() {
    [ -z "$DESTDIR" ] && realpath -m "$1" || echo "$1"
}

# Directories that are nobody else's. One that somebody put something into stays.
tidy() {
    for directory in "$private" "$gdb/ctxshim_gdb" "$gdb" "$DATADIR/ctxshim"; do
        [ ! -d "$DESTDIR$directory" ] || rmdir --ignore-fail-on-non-empty "$DESTDIR$directory"
    done
    directory=$autoload$(resolved "$private")
    while [ "$directory" != "$autoload" ] && [ "$directory" != / ]; do
        [ ! -d "$DESTDIR$directory" ] || rmdir --ignore-fail-on-non-empty "$DESTDIR$directory"
        directory=$(dirname "$directory")
    done
}

complain() {
    echo "install.sh: $*" >&2
    exit 2
}

for directory in "$PREFIX" "$BINDIR" "$LIBDIR" "$INCLUDEDIR" "$DATADIR" "$MANDIR" "$autoload"; do
    case $directory in
    *[\|\&\\\ ]*) complain "$directory: a name with a space, '|', '&' or '\\' in it" ;;
    /*) ;;
    *) complain "$directory: give the whole path, from /" ;;
    esac
done
case $action in
install)
    everything
    ;;
uninstall)
    everything
    tidy
    ;;
*) complain "usage: install.sh install|uninstall; \"make install\" gives it the rest" ;;
esac
