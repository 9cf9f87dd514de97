# Builds inside the Debian 13 root, which has no network: its cargo gets the sources as a folder. Sourced after lib.sh.
# shellcheck shell=bash

# Made again when the lock file changes.
vendor() {
    local stamp
    stamp=$(sha256sum Cargo.lock | cut -d' ' -f1)
    if [ "$(cat "$CACHE/vendor/stamp" 2>/dev/null)" = "$stamp" ]; then return; fi
    rm -rf "$CACHE/vendor"
    mkdir -p "$CACHE/vendor/home"
    cargo vendor --quiet --locked --versioned-dirs "$CACHE/vendor/crates" >/dev/null || return
    printf '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "/srv/vendor/crates"\n' >"$CACHE/vendor/home/config.toml"
    echo "$stamp" >"$CACHE/vendor/stamp"
}

# in_debian13 FOLDER COMMAND...: in the checkout, which is read-only there, with FOLDER for what is built
in_debian13() {
    local folder=$1
    shift
    vendor || return
    mkdir -p "$folder"
    # The manifests name no folder outside the checkout, so it can be read-only; only the target folder is written.
    "$FIXTURE/inside" "$DEBIAN13" --bind-read-only "$REPO" epode --bind "$CACHE/vendor" vendor --bind "$folder" target -- \
        env CARGO_HOME=/srv/vendor/home CARGO_TARGET_DIR=/srv/target sh -euc 'cd /srv/epode && exec "$@"' sh "$@"
}
