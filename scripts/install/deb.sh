#!/bin/sh
# deb.sh (`make deb`): a Debian package of what `make install` installs, in $BUILD. Needs dpkg-dev, not root. The
# Makefile gives VERSION, BUILD and CC. Two runs over the same tree make the same bytes.
set -eu

cd "$(dirname "$0")/../.."
out=$(cd "$BUILD" && pwd)
architecture=$(dpkg --print-architecture)
multiarch=$($CC -print-multiarch)
package=ctxshim_${VERSION}_$architecture.deb
work=$(mktemp -d "$out/deb-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM
root=$work/root
doc=$root/usr/share/doc/ctxshim

complain() {
    echo "deb.sh: $*" >&2
    exit 1
}

[ "$(sed -n '1s/^ctxshim (\(.*\)) .*/\1/p' scripts/install/changelog)" = "$VERSION" ] ||
    complain "scripts/install/changelog does not begin with version $VERSION: write down what is new in it"

# Everything in the package is of the day of its last change.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date +%s -d "$(sed -n 's/^ -- .*>  //p;T;q' scripts/install/changelog)")}
export SOURCE_DATE_EPOCH
umask 022

# --- what is installed
make --no-print-directory install BUILD="$BUILD" CC="$CC" DESTDIR="$root" PREFIX=/usr LIBDIR="/usr/lib/$multiarch" >/dev/null
for binary in "$root/usr/bin/ctxshim" "$root/usr/lib/$multiarch/ctxshim/libctxshim.so.$VERSION"; do
    strip --strip-unneeded --remove-section=.comment --remove-section=.note "$binary"
done
# A library that nobody executes.
chmod 644 "$root/usr/lib/$multiarch/ctxshim/libctxshim.so.$VERSION"
find "$root/usr/share/man" -type f -exec gzip -9n {} +

mkdir -p "$doc"
cp scripts/install/copyright README.md "$doc"
gzip -9nc scripts/install/changelog >"$doc/changelog.gz"
chmod 644 "$doc"/*

# --- what dpkg is told of it
mkdir -p "$work/debian" "$root/DEBIAN"
printf 'Source: ctxshim\n\nPackage: ctxshim\nArchitecture: any\n' >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O root/usr/bin/ctxshim \
    -l"root/usr/lib/$multiarch/ctxshim" "root/usr/lib/$multiarch/ctxshim/libctxshim.so.$VERSION")
depends=${depends#shlibs:Depends=}
[ -n "$depends" ] || complain "dpkg-shlibdeps knows nothing that the command needs"
sed -e "s/@VERSION@/$VERSION/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@DEPENDS@/$depends/" \
    -e "s/@SIZE@/$(du -sk --apparent-size "$root/usr" | cut -f1)/" scripts/install/control >"$root/DEBIAN/control"
(cd "$root" && find usr -type f | LC_ALL=C sort | xargs md5sum) >"$root/DEBIAN/md5sums"
find "$root" -exec touch --no-dereference -d "@$SOURCE_DATE_EPOCH" {} +

dpkg-deb --root-owner-group -Zxz --build "$root" "$work/$package" >/dev/null
mv "$work/$package" "$out/$package"
echo "$BUILD/$package"
