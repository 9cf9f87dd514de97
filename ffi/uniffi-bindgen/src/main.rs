//! Generates Swift, Kotlin and Python sources out of the compiled library: `uniffi-bindgen generate LIBRARY --language ... --out-dir ...`.

fn main() {
    uniffi::uniffi_bindgen_main();
}
