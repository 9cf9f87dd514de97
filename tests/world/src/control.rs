//! The control port: a command a line, an answer a line.

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use crate::world::World;

/// The longest command, with its end of line.
const MAX_LINE: u64 = 1024;
const COMMANDS: &str = "cut, down, up, bytes and violations, each with a server, and quit";

type Command = (String, oneshot::Sender<String>);

/// Obeys until `quit`. Connections are served side by side, commands one after the other.
pub(crate) async fn serve(listener: TcpListener, world: &mut World) {
    let (commands, mut due) = mpsc::channel::<Command>(16);
    let accepting = tokio::spawn(async move {
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, commands.clone()));
            }
        }
    });
    while let Some((line, answer)) = due.recv().await {
        if line == "quit" {
            break;
        }
        let said = match obey(&line, world).await {
            Ok(said) => said,
            Err(why) => format!("error {why}"),
        };
        // Who asked may be gone.
        let _ = answer.send(said);
    }
    accepting.abort();
}

async fn obey(line: &str, world: &mut World) -> Result<String, String> {
    let (command, name) = line.split_once(' ').unwrap_or((line, ""));
    let known = ["cut", "down", "up", "bytes", "violations"];
    if !known.contains(&command) {
        return Err(format!("{command:?} is no command; there are: {COMMANDS}"));
    }
    let place = world.place(name.trim())?;
    match command {
        "cut" => place.cut(),
        "down" => place.down().await,
        "up" => place.up().await?,
        "bytes" => {
            let (to_client, to_server) = place.bytes();
            return Ok(format!(
                "ok {}",
                json!({"to_client": to_client, "to_server": to_server})
            ));
        }
        _ => {
            let seen = place.violations();
            let seen = seen.ok_or_else(|| format!("{name} does not watch its clients; dev, modern and tls12 do"))?;
            return Ok(format!("ok {}", json!(seen)));
        }
    }
    Ok("ok".into())
}

async fn converse(stream: TcpStream, commands: mpsc::Sender<Command>) {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from);
    loop {
        let mut line = String::new();
        match (&mut from).take(MAX_LINE).read_line(&mut line).await {
            Ok(1..) if line.ends_with('\n') => {}
            Ok(0) => return,
            Ok(_) | Err(_) => {
                let _ = to
                    .write_all(b"error a command is one line of text, and not a long one\n")
                    .await;
                return;
            }
        }
        let (answer, said) = oneshot::channel();
        if commands.send((line.trim().to_owned(), answer)).await.is_err() {
            return;
        }
        // Nothing answers `quit` but the end of the program.
        let Ok(said) = said.await else {
            let _ = to.write_all(b"ok\n").await;
            return;
        };
        if to.write_all(format!("{said}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}
