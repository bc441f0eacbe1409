#!/usr/bin/env bash
# Gets lnconform: the one that was named, else a release by the checksum that stands beside this
# script, else one that is built from the source that the action came with.
#
# BINARY, VERSION: inputs of the action. ACTION: its folder. REPOSITORY: where it is from. KEEP: a
# folder that is cached.
set -euo pipefail

found() {
    echo "binary=$1" >>"$GITHUB_OUTPUT"
    "$1" --version
    exit 0
}

# macOS has the one, Linux the other.
sha256() {
    if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

if [ -n "$BINARY" ]; then
    [ -x "$BINARY" ] || { echo "::error::the input binary names $BINARY, which cannot be run"; exit 2; }
    found "$(realpath "$BINARY")"
fi

root=$(realpath "$ACTION/../../..")
own=v$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -1)
version=${VERSION:-$own}
case "$version" in
    *[!A-Za-z0-9.+-]*) ;;
    v[0-9]*) written=yes ;;
esac
[ "${written:-}" = yes ] || { echo "::error::the input version is no version: write it as $own"; exit 2; }
case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) target=x86_64-unknown-linux-gnu ;;
    Linux-aarch64) target=aarch64-unknown-linux-gnu ;;
    Darwin-arm64) target=aarch64-apple-darwin ;;
    *) target=none ;;
esac

mkdir -p "$KEEP"
kept=$KEEP/$version/lnconform
[ -x "$kept" ] && found "$kept"

# A line is: version, target, SHA-256 of the archive. They are added with the commit that follows a
# release, so that a release which is changed afterwards is refused.
sum=$(awk -v v="$version" -v t="$target" '$1 == v && $2 == t { print $3 }' "$ACTION/releases.txt")
if [ -n "$sum" ]; then
    name=lnconform-$version-$target
    from=${GITHUB_SERVER_URL:-https://github.com}/${REPOSITORY:?GitHub did not say which repository the action is from}
    archive=$KEEP/$name.tar.gz
    if ! curl --fail --silent --show-error --location --proto '=https' --retry 3 \
        --output "$archive" "$from/releases/download/$version/$name.tar.gz"; then
        echo "::error::$name.tar.gz cannot be had from $from; the input binary names a program that is there already"
        exit 5
    fi
    if [ "$(sha256 "$archive")" != "$sum" ]; then
        rm -f "$archive"
        echo "::error::$name.tar.gz is not what was released: its checksum differs from $sum. Nothing of it was run."
        exit 5
    fi
    mkdir -p "$KEEP/$version"
    tar -xzf "$archive" -C "$KEEP/$version" --strip-components 1 "$name/lnconform"
    rm -f "$archive"
    found "$kept"
fi

if [ "$version" != "$own" ]; then
    echo "::error::no release $version for $target is known to this version of the action; use the action as of $version"
    exit 2
fi
echo "no release of lnconform $version for this machine: building it, which takes some minutes"
cargo build --locked --release --manifest-path "$root/Cargo.toml" --package lnconform --target-dir "$KEEP/target"
mkdir -p "$KEEP/$version"
cp "$KEEP/target/release/lnconform" "$kept"
rm -rf "$KEEP/target"
found "$kept"
