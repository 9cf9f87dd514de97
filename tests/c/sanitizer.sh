# AddressSanitizer in C and in Rust at once: what tests/c/sanitize does, and what other programs in C are built with. Sourced after lanes/lib.sh.
# shellcheck shell=bash
#
#   sanitizer_library                   builds the library, instrumented; SANITIZED is its path then
#   sanitizer_cc ARGUMENTS...           compiles and links C with it, for example: sanitizer_cc -std=c11 login.c -lcurl -o login
#
# Leaks count too (LeakSanitizer, at the end of a program). The instrumentation of rustc and that of Debian's clang and gcc agree on
# __asan_version_mismatch_check_v8; the runtime is clang's.
need_packages clang libclang-rt-dev llvm binutils libc6-dev

SANITIZER_TRIPLE=$(rustc -vV | sed -n 's/^host: //p')
# A target folder of its own: the flags differ in every crate.
SANITIZER_TARGET=$TARGET/sanitize
SANITIZED=$SANITIZER_TARGET/$SANITIZER_TRIPLE/debug/libepode_c.a
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:exitcode=99

sanitizer_library() {
    # Sanitizers are not stable yet; with this variable the pinned compiler takes their options, so that no second toolchain is needed.
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address --cfg epode_testing" CARGO_TARGET_DIR=$SANITIZER_TARGET \
        cargo build --locked -p epode-c --target "$SANITIZER_TRIPLE"
}

sanitizer_cc() {
    clang -fsanitize=address -fno-omit-frame-pointer -g -I "$REPO/ffi/c/include" "$@" "$SANITIZED" -lpthread -ldl -lm
}
