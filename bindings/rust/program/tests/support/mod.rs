//! A folder that goes away, the program in it, and the tools that judge what the program made.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Not a word that the program itself says.
pub(crate) const PASSPHRASE: &str = "Korrekt-Pferd-7";

/// A folder below the build's own temporary one, removed at the end of the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cert-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// An authority by openssl, in `testca.crt` and `testca.key`: bad certificates are not ours to make.
    pub(crate) fn make_ca(&self) {
        fs::write(
            self.path("ca.cnf"),
            "[ca]\ndefault_ca=d\n[d]\ndir=.\ndatabase=./index.txt\nserial=./serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n\
             unique_subject=no\nstring_mask=utf8only\n[p]\ncommonName=supplied\n[req]\ndistinguished_name=dn\n[dn]\n",
        )
        .unwrap();
        tool(
            self,
            "openssl",
            &[
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-out",
                "testca.key",
            ],
        );
        let request = [
            "req",
            "-x509",
            "-new",
            "-key",
            "testca.key",
            "-subj",
            "/CN=Test CA",
            "-days",
            "7300",
            "-out",
            "testca.crt",
        ];
        tool(self, "openssl", &request);
    }

    /// A certificate by openssl; `openssl ca` is what can set both dates before OpenSSL 3.4.
    pub(crate) fn sign(&self, name: &str, san: &str, usage: &str, from: &str, to: &str) {
        let (key, csr, ext, crt) = (
            format!("{name}.key"),
            format!("{name}.csr"),
            format!("{name}.ext"),
            format!("{name}.crt"),
        );
        let names = if san.starts_with("otherName") {
            format!("@san\n[san]\n{san}")
        } else {
            san.into()
        };
        fs::write(
            self.path(&ext),
            format!("[v3]\nbasicConstraints=CA:FALSE\n{usage}\nsubjectAltName={names}\n"),
        )
        .unwrap();
        fs::write(self.path("index.txt"), "").unwrap();
        fs::write(self.path("serial"), "01\n").unwrap();
        tool(
            self,
            "openssl",
            &[
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-out",
                &key,
            ],
        );
        tool(
            self,
            "openssl",
            &[
                "req", "-new", "-config", "ca.cnf", "-key", &key, "-subj", "/CN=Test", "-out", &csr,
            ],
        );
        let mut sign = vec![
            "ca",
            "-batch",
            "-utf8",
            "-notext",
            "-config",
            "ca.cnf",
            "-cert",
            "testca.crt",
            "-keyfile",
            "testca.key",
        ];
        sign.extend([
            "-startdate",
            from,
            "-enddate",
            to,
            "-extfile",
            &ext,
            "-extensions",
            "v3",
            "-in",
            &csr,
            "-out",
            &crt,
        ]);
        tool(self, "openssl", &sign);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Runs the program with the pass phrase; it must succeed. Returns what it printed.
pub(crate) fn epode(folder: &Folder, arguments: &[&str]) -> String {
    let (exit, said) = epode_with(folder, arguments, Some(PASSPHRASE));
    assert_eq!(exit, 0, "epode {arguments:?} said:\n{said}");
    said
}

/// Runs the program. Returns its status, and what it printed on both channels.
pub(crate) fn epode_with(folder: &Folder, arguments: &[&str], passphrase: Option<&str>) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_epode"));
    command.args(arguments).env_remove("EPODE_CERT_PASSPHRASE");
    if let Some(passphrase) = passphrase {
        command.env("EPODE_CERT_PASSPHRASE", passphrase);
    }
    without_terminal(&mut command);
    let output = command.current_dir(&folder.0).stdin(Stdio::null()).output().unwrap();
    let status = output.status.code().expect("the program was killed by a signal");
    (status, both(&output))
}

/// Runs a tool that must succeed. Returns what it printed.
pub(crate) fn tool(folder: &Folder, name: &str, arguments: &[&str]) -> String {
    let output = run(folder, name, arguments);
    let said = both(&output);
    assert!(output.status.success(), "{name} {arguments:?} failed:\n{said}");
    said
}

/// Runs a tool that must not succeed.
pub(crate) fn fails(folder: &Folder, name: &str, arguments: &[&str]) {
    let output = run(folder, name, arguments);
    assert!(
        !output.status.success(),
        "{name} {arguments:?} succeeded:\n{}",
        both(&output)
    );
}

/// What stands behind id-on-xmppAddr (openssl's XmppAddr) in the certificate, by openssl's reading of the bytes.
pub(crate) fn oid_of_xmpp_addr(folder: &Folder, file: &str) -> String {
    let whole = tool(folder, "openssl", &["asn1parse", "-in", file, "-inform", "PEM"]);
    let mut lines = whole
        .lines()
        .skip_while(|line| !line.contains("Subject Alternative Name"));
    let octets = lines
        .find(|line| line.contains("OCTET STRING"))
        .expect("no subjectAltName");
    let offset = octets.split(':').next().unwrap().trim();
    let names = tool(
        folder,
        "openssl",
        &["asn1parse", "-in", file, "-inform", "PEM", "-strparse", offset],
    );
    let mut lines = names.lines().skip_while(|line| !line.ends_with(":XmppAddr"));
    let explicit = lines.nth(1).expect("no id-on-xmppAddr");
    assert!(explicit.contains("cont [ 0 ]"), "{names}");
    let value = lines.next().expect("no value");
    let (_, value) = value.split_once("prim: ").expect("not primitive");
    let (kind, text) = value.split_once(':').expect("no text");
    format!("{} :{text}", kind.trim())
}

/// The JSON that the program printed.
pub(crate) fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn run(folder: &Folder, name: &str, arguments: &[&str]) -> Output {
    Command::new(name)
        .args(arguments)
        .env("EPODE_CERT_PASSPHRASE", PASSPHRASE)
        .env("LC_ALL", "C.UTF-8")
        .current_dir(&folder.0)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "{name} cannot be run ({error}); this test needs openssl, keytool, pk12util and certutil: \
             apt-get install openssl default-jre-headless libnss3-tools"
            )
        })
}

fn both(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

// A prompt would go to the terminal of whoever runs the tests, and wait there: a new session has none.
fn without_terminal(command: &mut Command) {
    #[cfg(unix)]
    {
        let program = command.get_program().to_owned();
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let variables: Vec<_> = command
            .get_envs()
            .map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned)))
            .collect();
        *command = Command::new("setsid");
        command.arg("--wait").arg(program).args(arguments);
        for (name, value) in variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }
}
