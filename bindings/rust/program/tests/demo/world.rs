//! A dev server on its own runtime, a folder with the files that a user would have, and the built program.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use epode::BareJid;
use epode_devserver::{Server, Settings, TlsIdentity, User};
use epode_program::pki::{self, Authority, Validity};
use tokio::runtime::Runtime;

pub(crate) const PASSWORD: &str = "user01's password";

pub(crate) fn epode(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_epode"));
    command
        .args(args)
        .env_remove("EPODE_PASSWORD")
        .env_remove("EPODE_CERT_PASSPHRASE")
        .stdin(Stdio::null());
    command
}

pub(crate) fn run(args: &[&str]) -> Output {
    epode(args).output().unwrap()
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A dev server on its own runtime, and a folder with the files that a user would have.
pub(crate) struct World {
    _runtime: Runtime,
    pub(crate) server: Server,
    folder: PathBuf,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl World {
    pub(crate) fn new(name: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let (authority, issued) = pki::make_ca("tests", Validity::days(1)).unwrap();
        std::fs::write(folder.join("ca.crt"), issued.certificate_pem()).unwrap();
        for name in ["user01", "user02"] {
            let account = BareJid::parse(&format!("{name}@localhost")).unwrap();
            let client = pki::make_client_cert(Some(&authority), &account, Validity::days(1)).unwrap();
            std::fs::write(folder.join(format!("{name}.crt")), client.certificate_pem()).unwrap();
            std::fs::write(folder.join(format!("{name}.key")), client.key_pem()).unwrap();
        }
        let (other, issued) = pki::make_ca("others", Validity::days(1)).unwrap();
        std::fs::write(folder.join("other-ca.crt"), issued.certificate_pem()).unwrap();
        let stranger = BareJid::parse("user01@localhost").unwrap();
        let stranger = pki::make_client_cert(Some(&other), &stranger, Validity::days(1)).unwrap();
        std::fs::write(folder.join("stranger.crt"), stranger.certificate_pem()).unwrap();
        std::fs::write(folder.join("stranger.key"), stranger.key_pem()).unwrap();
        let mut settings = settings(&authority);
        change(&mut settings);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime.block_on(Server::start(settings)).unwrap();
        Self {
            _runtime: runtime,
            server,
            folder,
        }
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// The command with the certificate of `user`.
    pub(crate) fn with_certificate(&self, args: &[&str], user: &str, more: &[&str]) -> Command {
        let mut command = epode(args);
        command.args(["--bosh", &self.server.bosh_url(), "--ca", &self.file("ca.crt")]);
        command.args([
            "--cert",
            &self.file(&format!("{user}.crt")),
            "--key",
            &self.file(&format!("{user}.key")),
        ]);
        command.args(more);
        command
    }

    pub(crate) fn login(&self, user: &str, more: &[&str]) -> Output {
        self.with_certificate(&["login", "user01@localhost"], user, more)
            .output()
            .unwrap()
    }

    pub(crate) fn login_by_password(&self, password: &str) -> Output {
        let url = self.server.bosh_url();
        let mut command = epode(&[
            "login",
            "user01@localhost",
            "--bosh",
            &url,
            "--ca",
            &self.file("ca.crt"),
            "--once",
        ]);
        command.env("EPODE_PASSWORD", password).output().unwrap()
    }
}

fn settings(authority: &Authority) -> Settings {
    let certificate = pki::make_server_cert(authority, &["localhost"], &[], Validity::days(1)).unwrap();
    let identity = TlsIdentity {
        chain: vec![certificate.certificate.clone()],
        key: certificate.key(),
    };
    let mut settings = Settings::new("localhost", identity);
    settings.client_ca = vec![authority.certificate().clone()];
    settings.users = ["user01", "user02"]
        .map(|name| User {
            name: name.into(),
            password: Some(format!("{name}'s password")),
        })
        .into();
    settings
}

/// The ways into the dev server, as options, and what a login calls them.
impl World {
    pub(crate) fn ways(&self) -> [(Vec<String>, &'static str); 4] {
        let tcp = |address: SocketAddr, more: &[&str]| {
            let port = address.port().to_string();
            let mut way: Vec<String> = ["--host", "localhost", "--port", &port].map(Into::into).into();
            way.extend(more.iter().map(|&more| more.to_owned()));
            way
        };
        let websocket = self.server.websocket_url().unwrap();
        [
            (tcp(self.server.starttls_address(), &[]), "TCP"),
            (tcp(self.server.direct_tls_address(), &["--direct-tls"]), "TCP"),
            (vec!["--ws".to_owned(), websocket], "WebSocket"),
            (vec!["--bosh".to_owned(), self.server.bosh_url()], "BOSH"),
        ]
    }

    /// A login of user01 by a password.
    pub(crate) fn by_password(&self, way: &[String], more: &[&str]) -> Output {
        let mut command = epode(&["login", "user01@localhost", "--once", "--ca", &self.file("ca.crt")]);
        command.args(way).args(more).env("EPODE_PASSWORD", PASSWORD);
        command.output().unwrap()
    }
}

/// A name server that knows these SRV records, by service, and nothing else.
pub(crate) fn name_server(records: Vec<(&'static str, u16, &'static str)>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&answer(&buffer[..length], &records), from);
        }
    });
    address
}

/// RFC 1035 §4: the header and the question come back; each answer names the question by a pointer to it.
fn answer(query: &[u8], records: &[(&str, u16, &str)]) -> Vec<u8> {
    let mut at = 12;
    let mut labels = Vec::new();
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).into_owned());
        at += length + 1;
    }
    let question = &query[12..at + 5];
    let matching: Vec<_> = records.iter().filter(|(service, ..)| *service == labels[0]).collect();
    let mut out = query[..2].to_vec();
    out.extend([0x81, 0x80, 0, 1, 0, u8::try_from(matching.len()).unwrap(), 0, 0, 0, 0]);
    out.extend(question);
    for (_, port, target) in matching {
        let mut data = vec![0, 0, 0, 0];
        data.extend(port.to_be_bytes());
        for label in target.split('.').filter(|label| !label.is_empty()) {
            data.push(u8::try_from(label.len()).unwrap());
            data.extend(label.bytes());
        }
        data.push(0);
        out.extend([0xC0, 12, 0, 33, 0, 1, 0, 0, 0, 60]);
        out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        out.extend(data);
    }
    out
}

/// What the program printed, line by line.
pub(crate) fn objects(output: &Output) -> Vec<serde_json::Value> {
    out(output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
