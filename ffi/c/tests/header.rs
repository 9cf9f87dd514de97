//! The committed header is what the sources say.
//!
//! `EPODE_BLESS=1 cargo test -p epode-c --test header` writes it anew; read the difference before it is committed.

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// What every function's documentation has for Rust alone; C has the header's first comment.
    const FOR_RUST: [&str; 2] = [
        "//\n// # Safety\n//\n// As the conventions in the header say.\n",
        "//\n// # Safety\n//\n// `text` is NULL or ends with NUL.\n",
    ];

    #[test]
    fn the_header_is_what_the_sources_say() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).unwrap();
        let mut header = Vec::new();
        cbindgen::Builder::new()
            .with_crate(here)
            .with_config(config)
            .generate()
            .unwrap()
            .write(&mut header);
        let mut header = String::from_utf8(header).unwrap();
        for section in FOR_RUST {
            header = header.replace(section, "");
        }
        assert!(!header.contains("# Safety"), "a section that only Rust needs is left");
        let path = here.join("include/epode.h");
        if std::env::var_os("EPODE_BLESS").is_some() {
            std::fs::write(&path, &header).unwrap();
        }
        assert!(
            header == std::fs::read_to_string(&path).unwrap(),
            "include/epode.h is out of date: EPODE_BLESS=1 cargo test -p epode-c --test header"
        );
    }

    #[test]
    fn every_exported_function_is_in_the_header_and_in_the_list_of_symbols() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let header = std::fs::read_to_string(here.join("include/epode.h")).unwrap();
        let symbols = std::fs::read_to_string(here.join("symbols.txt")).unwrap();
        for file in std::fs::read_dir(here.join("src")).unwrap() {
            let source = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for function in source.split("extern \"C\" fn ").skip(1) {
                let name = function.split('(').next().unwrap();
                assert!(header.contains(&format!("{name}(")), "{name} is not in the header");
                assert!(symbols.lines().any(|line| line == name), "{name} is not in symbols.txt");
            }
        }
    }
}
