//! Generates Swift, Kotlin and Python sources out of the compiled library: `cargo run -p epode-bindgen -- generate LIBRARY --language ... --out-dir ...`.
//!
//! It is not called `uniffi-bindgen`: maturin would then run it as a default member of the workspace, and fail, since it is none.

fn main() {
    uniffi::uniffi_bindgen_main();
}
