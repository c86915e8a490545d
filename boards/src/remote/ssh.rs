//! A session with a board's agent, over OpenSSH.
//!
//! OpenSSH itself checks the host's key and the user's, and obeys the user's configuration. One
//! connection does everything: a few lines of shell say what the board is, take the agent if it is not
//! there, and become it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use serde::Serialize;

use crate::protocol::{Event, LINE_MAX, Refusal, Request, Status, VERSION};

/// Where a board is, and how to reach it.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// `[user@]host` or a name in ssh's configuration.
    pub name: String,
    /// Port; ssh's configuration decides when it is not given.
    pub port: Option<u16>,
    /// Private key.
    pub identity: Option<PathBuf>,
    /// Configuration in place of the user's.
    pub config: Option<PathBuf>,
    /// Whether a host never seen before is believed. A key that changed never is.
    pub accept_new: bool,
    /// The folder on the board; below the user's home unless absolute.
    pub root: Option<String>,
}

/// The agent to bring.
pub struct Agent {
    /// The program.
    pub bytes: Vec<u8>,
    /// Its SHA-256.
    pub sum: String,
    /// The processor it is for, as `uname -m` has it.
    pub machine: String,
}

/// Why a board did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// ssh could not be started.
    #[error("cannot start ssh: {0}. Install OpenSSH's client (Debian: apt-get install openssh-client)")]
    NoSsh(io::Error),
    /// Its key is not the one that is known: someone is in between, or the board was set up anew.
    #[error(
        "{host}: the host key has changed. If you reinstalled the board, remove the old key with `ssh-keygen -R {host}`; \
         otherwise someone may be intercepting the connection"
    )]
    KeyChanged {
        /// The host.
        host: String,
    },
    /// It was never seen before.
    #[error(
        "{host}: the host key is not known yet. Log in once with ssh and compare it, or accept it with \
         --accept-new-host-key"
    )]
    KeyUnknown {
        /// The host.
        host: String,
    },
    /// It does not let us in.
    #[error("{host}: {said}. Install your key on the board with ssh-copy-id")]
    Login {
        /// The host.
        host: String,
        /// What ssh said.
        said: String,
    },
    /// It cannot be reached.
    #[error("{host}: {said}")]
    Unreachable {
        /// The host.
        host: String,
        /// What ssh said.
        said: String,
    },
    /// It is of another processor.
    #[error("{host} has a {found} processor, but the release is for {expected}; nothing was changed")]
    Machine {
        /// The host.
        host: String,
        /// What it is.
        found: String,
        /// What the release is for.
        expected: String,
    },
    /// The connection broke.
    #[error("{host}: the connection broke{said}")]
    Lost {
        /// The host.
        host: String,
        /// What ssh said.
        said: String,
    },
    /// The board has no room even for the agent, or forbids it.
    #[error("{host}: {said}")]
    Shell {
        /// The host.
        host: String,
        /// What the board's shell said.
        said: String,
    },
    /// The agent answers with something else than it should.
    #[error("{host}: unexpected message from the agent: {said}")]
    Protocol {
        /// The host.
        host: String,
        /// What it said.
        said: String,
    },
    /// The agent says no.
    #[error("{host}: {refusal}")]
    Refused {
        /// The host.
        host: String,
        /// Why.
        refusal: Refusal,
        /// What runs there now.
        status: Box<Status>,
    },
}

impl RemoteError {
    /// A word for scripts.
    pub fn kind(&self) -> String {
        match self {
            Self::NoSsh(_) => "no-ssh".into(),
            Self::KeyChanged { .. } => "key-changed".into(),
            Self::KeyUnknown { .. } => "key-unknown".into(),
            Self::Login { .. } => "login".into(),
            Self::Unreachable { .. } => "unreachable".into(),
            Self::Machine { .. } => "machine".into(),
            Self::Lost { .. } => "lost".into(),
            Self::Shell { .. } => "shell".into(),
            Self::Protocol { .. } => "protocol".into(),
            Self::Refused { refusal, .. } => {
                let kind = serde_json::to_value(refusal.kind).expect("plain data");
                kind.as_str().expect("a word").to_owned()
            }
        }
    }
}

/// What `--json` says of an error.
#[derive(Serialize)]
pub struct ErrorLine<'a> {
    /// The host.
    pub host: &'a str,
    /// [`RemoteError::kind`].
    pub error: String,
    /// In words.
    pub message: String,
}

/// A session whose agent has greeted.
pub struct Session {
    host: String,
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    errors: Option<JoinHandle<String>>,
}

/// The shell's part. The agent is on disk before it has its name, for the power may go. `$1` would need
/// another round of quoting, so its values are put in.
fn script(root: &str, agent: &Agent) -> String {
    let (sum, bytes) = (&agent.sum, agent.bytes.len());
    format!(
        "set -e; umask 077; r={root}; case $r in /*) ;; *) r=$HOME/$r;; esac; a=$r/agents/{sum}; \
         mkdir -p \"$r/agents\"; \
         if [ -x \"$a\" ] && [ \"$(wc -c <\"$a\")\" -eq {bytes} ]; then echo \"foldnet $(uname -m) have\"; \
         else echo \"foldnet $(uname -m) want\"; head -c {bytes} >\"$a.part\"; \
         [ \"$(wc -c <\"$a.part\")\" -eq {bytes} ]; chmod 700 \"$a.part\"; sync; mv \"$a.part\" \"$a\"; fi; \
         exec \"$a\" session --root \"$r\"",
        root = quoted(root)
    )
}

/// A word for the shell.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

impl Session {
    /// Connects, and brings the agent if it is not there.
    pub fn open(host: &Host, agent: &Agent) -> Result<Self, RemoteError> {
        let root = host.root.as_deref().unwrap_or(".local/share/foldnet");
        let known = if host.accept_new { "accept-new" } else { "yes" };
        let mut ssh = Command::new("ssh");
        ssh.args(["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15"]);
        ssh.args(["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=4"]);
        ssh.arg("-o").arg(format!("StrictHostKeyChecking={known}"));
        if let Some(config) = &host.config {
            ssh.arg("-F").arg(config);
        }
        if let Some(identity) = &host.identity {
            ssh.arg("-i").arg(identity);
        }
        if let Some(port) = host.port {
            ssh.arg("-p").arg(port.to_string());
        }
        // A name that begins with a dash is a name.
        ssh.arg("--").arg(&host.name).arg(format!("sh -c {}", quoted(&script(root, agent))));
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = ssh.spawn().map_err(RemoteError::NoSsh)?;
        let mut errors = child.stderr.take().expect("it is piped");
        let errors = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = errors.by_ref().take(LINE_MAX).read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let (to, from) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        let mut session =
            Self { host: host.name.clone(), child, to, from: BufReader::new(from), errors: Some(errors) };
        session.greet(agent)?;
        Ok(session)
    }

    fn greet(&mut self, agent: &Agent) -> Result<(), RemoteError> {
        let line = self.line()?;
        let strange =
            |said: &str| RemoteError::Protocol { host: self.host.clone(), said: said.trim().into() };
        let mut words = line.split_whitespace();
        let (Some("foldnet"), Some(machine), Some(has)) = (words.next(), words.next(), words.next()) else {
            return Err(strange(&line));
        };
        if machine != agent.machine {
            let (host, expected) = (self.host.clone(), agent.machine.clone());
            return Err(RemoteError::Machine { host, found: machine.into(), expected });
        }
        if has == "want" {
            self.send(&agent.bytes)?;
        }
        match self.event()? {
            Event::Hello { version, agent: sum } if version == VERSION && sum == agent.sum => Ok(()),
            other => Err(RemoteError::Protocol { host: self.host.clone(), said: format!("{other:?}") }),
        }
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), RemoteError> {
        let to = self.to.as_mut().expect("open until the end");
        match to.write_all(bytes).and_then(|()| to.flush()) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.ended()),
        }
    }

    /// Sends a request.
    pub fn ask(&mut self, request: &Request) -> Result<(), RemoteError> {
        self.send(format!("{}\n", serde_json::to_string(request).expect("plain data")).as_bytes())
    }

    /// The next thing that the agent says; refusals as errors.
    pub fn event(&mut self) -> Result<Event, RemoteError> {
        let line = self.line()?;
        let host = self.host.clone();
        match serde_json::from_str(&line) {
            Ok(Event::Refused { refusal, status }) => {
                Err(RemoteError::Refused { host, refusal, status: Box::new(status) })
            }
            Ok(event) => Ok(event),
            Err(_) => Err(RemoteError::Protocol { host, said: line.trim().into() }),
        }
    }

    fn line(&mut self) -> Result<String, RemoteError> {
        let mut line = Vec::new();
        let read = self.from.by_ref().take(LINE_MAX).read_until(b'\n', &mut line);
        match read {
            Ok(_) if line.ends_with(b"\n") => Ok(String::from_utf8_lossy(&line).into_owned()),
            _ => Err(self.ended()),
        }
    }

    /// What it means that the session has ended.
    fn ended(&mut self) -> RemoteError {
        drop(self.to.take());
        let code = self.child.wait().ok().and_then(|s| s.code());
        let words = self.errors.take().and_then(|e| e.join().ok()).unwrap_or_default();
        let host = self.host.clone();
        let said = words.lines().map(str::trim).rfind(|l| !l.is_empty()).unwrap_or_default().to_owned();
        let has = |text: &str| words.contains(text);
        match code {
            _ if has("REMOTE HOST IDENTIFICATION HAS CHANGED") => RemoteError::KeyChanged { host },
            _ if has("Host key verification failed") => RemoteError::KeyUnknown { host },
            _ if has("Permission denied (") => RemoteError::Login { host, said },
            Some(255) if has("ssh: ") || has("Can't open user config file") => {
                RemoteError::Unreachable { host, said }
            }
            Some(code) if (1..255).contains(&code) => {
                let said = if said.is_empty() { format!("its shell ended with {code}") } else { said };
                RemoteError::Shell { host, said }
            }
            _ => RemoteError::Lost { host, said: if said.is_empty() { said } else { format!(": {said}") } },
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Closing the line ends an agent that still waits for bytes.
        drop(self.to.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_shell_whole() {
        for word in ["plain", "two words", "it's", "$HOME `x` \\ \" ;", ""] {
            let out = Command::new("sh").arg("-c").arg(format!("printf %s {}", quoted(word))).output();
            assert_eq!(out.unwrap().stdout, word.as_bytes());
        }
    }
}
