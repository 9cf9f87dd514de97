//! The program as the tests of a driver meet it: its file, its control port, its proxies.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// No step on loopback takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);
const HEADER: &[u8] = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
    to='cert.localhost' version='1.0'>";

/// The program, with a folder of its own.
struct Running {
    child: Child,
    folder: PathBuf,
    world: Value,
}

impl Running {
    fn start(name: &str, more: &[&str]) -> Self {
        let folder = folder(name);
        let out = folder.join("world.json");
        let mut child = program(&out).args(more).spawn().unwrap();
        // What is printed comes after the file is there.
        let mut printed = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut printed)
            .unwrap();
        let written = std::fs::read_to_string(&out).unwrap();
        assert_eq!(printed, written);
        Self {
            child,
            world: serde_json::from_str(&written).unwrap(),
            folder,
        }
    }

    fn at(&self, pointer: &str) -> &Value {
        let value = self.world.pointer(pointer);
        value.unwrap_or_else(|| panic!("the file has no {pointer}"))
    }

    fn connect(&self, server: &str) -> std::io::Result<TcpStream> {
        let port = self.at(&format!("/servers/{server}/tcp/port")).as_u64().unwrap();
        connect(u16::try_from(port).unwrap())
    }

    fn control(&self) -> Control {
        let port = self.at("/control/port").as_u64().unwrap();
        let stream = connect(u16::try_from(port).unwrap()).unwrap();
        Control(BufReader::new(stream))
    }

    fn end(mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct Control(BufReader<TcpStream>);

impl Control {
    fn say(&mut self, command: &str) -> String {
        self.0.get_mut().write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        self.0.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The certificates, made once for all tests by the script that makes them for everybody.
fn pki() -> &'static Path {
    static PKI: OnceLock<PathBuf> = OnceLock::new();
    PKI.get_or_init(|| {
        let pki = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pki");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../servers/pki");
        assert!(Command::new(script).arg(&pki).status().unwrap().success());
        pki
    })
}

fn program(out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_epode-world"));
    command.arg("--pki").arg(pki()).arg("--out").arg(out);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A stream is open: the server has answered through the proxy.
fn open_stream(running: &Running, server: &str) -> TcpStream {
    let mut stream = running.connect(server).unwrap();
    stream.write_all(HEADER).unwrap();
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("</stream:features>") {
        let mut part = [0; 1024];
        let count = stream.read(&mut part).unwrap();
        assert!(count > 0, "{server} hung up");
        said.extend_from_slice(&part[..count]);
    }
    stream
}

#[test]
fn the_file_has_what_every_language_reads() {
    let running = Running::start("keys", &[]);
    let servers = running.at("/servers").as_object().unwrap();
    assert_eq!(servers.keys().collect::<Vec<_>>(), ["dev", "modern", "silent", "tls12"]);
    assert!(running.at("/control/host").is_string() && running.at("/control/port").is_u64());
    for name in servers.keys() {
        let at = |pointer: &str| running.at(&format!("/servers/{name}{pointer}"));
        assert_eq!(at("/modern"), &json!(["modern", "tls12"].contains(&name.as_str())));
        for way in ["tcp", "direct_tls"] {
            assert_eq!(at(&format!("/{way}/host")), "localhost");
            assert!(at(&format!("/{way}/port")).is_u64());
        }
        assert!(at("/websocket").as_str().unwrap().starts_with("wss://localhost:"));
        assert!(at("/bosh").as_str().unwrap().starts_with("https://localhost:"));
        for file in ["cert", "key", "p12"] {
            for who in ["certificate", "expired"] {
                let path = at(&format!("/{who}/{file}")).as_str().unwrap();
                assert!(Path::new(path).is_file(), "{path}");
            }
        }
        for field in [
            "/certificate/jid",
            "/certificate/p12_password",
            "/expired/jid",
            "/expired/p12_password",
        ] {
            assert!(at(field).is_string());
        }
        for field in ["/password/jid", "/password/password", "/other/jid", "/other/password"] {
            assert!(at(field).is_string());
        }
    }
    for file in ["/ca", "/rogue_ca"] {
        assert!(Path::new(running.at(file).as_str().unwrap()).is_file());
    }
}

#[test]
fn a_real_server_is_taken_in_by_name_and_paths_are_those_of_the_tests() {
    // Any server: what the proxy leads to is what `servers.json` says.
    let real = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = real.local_addr().unwrap().port();
    let servers = folder("real-servers").join("servers.json");
    let text = json!({"servers": {"somebody-7": {
        "starttls": port, "direct_tls": port, "https": port,
        "websocket": format!("wss://localhost:{port}/ws"), "bosh": format!("https://localhost:{port}/a/b"),
    }}});
    std::fs::write(&servers, text.to_string()).unwrap();
    let more = ["--servers", servers.to_str().unwrap(), "--pki-seen-as", "/elsewhere"];
    let running = Running::start("real", &more);
    let mut client = running.connect("somebody-7").unwrap();
    let (mut server, _) = real.accept().unwrap();
    client.write_all(b"hello").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut heard = String::new();
    server.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "hello");
    let at = |field: &str| running.at(&format!("/servers/somebody-7/{field}"));
    assert!(at("websocket").as_str().unwrap().ends_with("/ws"));
    assert!(at("bosh").as_str().unwrap().ends_with("/a/b"));
    assert_eq!(at("password"), &json!({"jid": "user01@localhost", "password": "pw"}));
    assert_eq!(at("certificate/cert"), "/elsewhere/alice.crt");
    assert_eq!(running.at("/ca"), "/elsewhere/server-ca.crt");
    let mut control = running.control();
    assert!(
        control
            .say("violations somebody-7")
            .starts_with("error somebody-7 does not watch")
    );
    let _ = std::fs::remove_dir_all(servers.parent().unwrap());
}

#[test]
fn cut_resets_what_is_open_and_nothing_else() {
    let running = Running::start("cut", &[]);
    let mut control = running.control();
    let mut on_dev = open_stream(&running, "dev");
    let mut on_modern = open_stream(&running, "modern");
    assert_eq!(control.say("cut dev"), "ok");
    let error = on_dev.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    // The other server's connection lives: it is answered.
    on_modern.write_all(b"</stream:stream>").unwrap();
    let mut farewell = String::new();
    on_modern.read_to_string(&mut farewell).unwrap();
    assert!(farewell.contains("</stream:stream>"), "{farewell}");
    drop(open_stream(&running, "dev"));
}

#[test]
fn down_refuses_until_up() {
    let running = Running::start("down", &[]);
    let mut control = running.control();
    let mut before = open_stream(&running, "dev");
    for command in ["down dev", "down dev"] {
        assert_eq!(control.say(command), "ok");
        let refused = running.connect("dev").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
    assert_eq!(
        before.read(&mut [0; 16]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    for command in ["up dev", "up dev"] {
        assert_eq!(control.say(command), "ok");
        drop(open_stream(&running, "dev"));
    }
}

#[test]
fn silent_reads_and_says_nothing() {
    let running = Running::start("silent", &[]);
    let mut control = running.control();
    let mut stream = running.connect("silent").unwrap();
    stream.write_all(HEADER).unwrap();
    // It has arrived; an answer would have been carried too.
    let count = HEADER.len();
    wait_for(|| control.say("bytes silent") == format!("ok {{\"to_client\":0,\"to_server\":{count}}}"));
    stream.set_nonblocking(true).unwrap();
    assert_eq!(stream.read(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
    // And it goes when the client does.
    stream.set_nonblocking(false).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
}

#[test]
fn bytes_counts_both_directions() {
    let running = Running::start("bytes", &[]);
    let mut control = running.control();
    assert_eq!(control.say("bytes dev"), "ok {\"to_client\":0,\"to_server\":0}");
    drop(open_stream(&running, "dev"));
    let answer = control.say("bytes dev");
    let counts: Value = serde_json::from_str(answer.strip_prefix("ok ").unwrap()).unwrap();
    assert_eq!(counts["to_server"], json!(HEADER.len()));
    assert!(counts["to_client"].as_u64().unwrap() > 100, "{answer}");
    assert_eq!(control.say("bytes modern"), "ok {\"to_client\":0,\"to_server\":0}");
}

#[test]
fn violations_are_told() {
    let running = Running::start("violations", &[]);
    let mut control = running.control();
    assert_eq!(control.say("violations dev"), "ok []");
    let mut stream = open_stream(&running, "dev");
    // RFC 6120 §7.1: no binding before TLS and a login.
    stream
        .write_all(b"<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
        .unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
    let answer = control.say("violations dev");
    let seen: Vec<String> = serde_json::from_str(answer.strip_prefix("ok ").unwrap()).unwrap();
    assert!(!seen.is_empty());
    assert_eq!(control.say("violations modern"), "ok []");
}

#[test]
fn what_is_wrong_with_a_command_is_said() {
    let running = Running::start("wrong", &[]);
    let mut control = running.control();
    assert!(
        control
            .say("cut nobody")
            .contains("there are: dev, modern, silent, tls12")
    );
    assert!(control.say("cut").starts_with("error no server"));
    assert!(control.say("").starts_with("error "));
    assert!(control.say("sing dev").contains("cut, down, up"));
    let long = running.control().say(&"x".repeat(5000));
    assert!(long.starts_with("error a command is one line"), "{long}");
    let mut other = running.control();
    other.0.get_mut().write_all(b"\xff\xfe\n").unwrap();
    assert!(other.say("").starts_with("error a command is one line"));
    assert_eq!(control.say("cut dev"), "ok");
}

#[test]
fn it_ends_when_it_is_told_and_takes_its_file_away() {
    let running = Running::start("quit", &[]);
    let out = running.folder.join("world.json");
    assert_eq!(running.control().say("quit"), "ok");
    assert!(running.end().success());
    assert!(!out.exists());
    for signal in ["INT", "TERM"] {
        let running = Running::start("signal", &[]);
        let pid = running.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        assert!(running.end().success(), "{signal}");
    }
}

#[test]
fn what_is_missing_is_said() {
    let folder = folder("missing");
    let out = folder.join("world.json");
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_epode-world"))
            .args(arguments)
            .args(["--out", out.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(!output.status.success() && !out.exists());
        String::from_utf8(output.stderr).unwrap()
    };
    let empty = folder.to_str().unwrap();
    assert!(run(&["--pki", empty]).contains("server-ca.crt; `tests/servers/pki"));
    assert!(run(&["--pki", "/nowhere"]).contains("--pki /nowhere: "));
    let pki = pki().to_str().unwrap();
    assert!(run(&["--pki", pki, "--servers", "/nowhere"]).contains("--servers /nowhere: "));
    let servers = folder.join("servers.json");
    std::fs::write(&servers, "{\"servers\": {\"a\": {}}}").unwrap();
    assert!(run(&["--pki", pki, "--servers", servers.to_str().unwrap()]).contains("a has no port starttls"));
    let _ = std::fs::remove_dir_all(folder);
}

fn wait_for(mut ready: impl FnMut() -> bool) {
    let began = Instant::now();
    while !ready() {
        assert!(began.elapsed() < PATIENCE, "it does not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}
