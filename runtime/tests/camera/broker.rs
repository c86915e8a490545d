//! As much of an MQTT 3.1.1 broker as a test needs: one client, everything it says, its last will; with
//! or without TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What a client said.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub topic: String,
    pub text: String,
    /// What `text` is made of; not all is text.
    pub bytes: Vec<u8>,
    pub retained: bool,
}

/// What a client said of itself when it connected.
#[derive(Debug)]
pub struct Hello {
    pub will: Option<Message>,
    pub login: Option<(String, String)>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

pub struct Broker {
    listener: TcpListener,
    pub address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
}

/// A connection to one client.
pub struct Client {
    stream: Box<dyn Stream>,
    pub hello: Hello,
}

/// A configuration for `localhost`, and the certificate to trust for it.
pub fn tls() -> (Arc<ServerConfig>, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (Arc::new(config), made.cert.pem())
}

/// A TLS connection to a client, from the server's side.
pub fn encrypted(stream: TcpStream, tls: &Arc<ServerConfig>) -> StreamOwned<ServerConnection, TcpStream> {
    StreamOwned::new(ServerConnection::new(tls.clone()).unwrap(), stream)
}

impl Broker {
    pub fn new(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address, tls }
    }

    /// The same place again, after the broker was away.
    pub fn again(address: SocketAddr) -> Self {
        // Somebody else's connection may have got the port meanwhile, for a moment.
        let listener = loop {
            match TcpListener::bind(address) {
                Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                bound => break bound.unwrap(),
            }
        };
        Self { listener, address, tls: None }
    }

    /// Waits for a client and welcomes it.
    pub fn welcome(&self) -> Client {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut stream: Box<dyn Stream> = match &self.tls {
            Some(tls) => Box::new(encrypted(stream, tls)),
            None => Box::new(stream),
        };
        let (kind, packet) = read(&mut *stream).expect("a client says hello");
        assert_eq!(kind >> 4, 1, "the first packet is CONNECT");
        let mut rest = &packet[..];
        assert_eq!((text(&mut rest), rest[0]), ("MQTT".into(), 4));
        let flags = rest[1];
        rest = &rest[4..];
        let _id = text(&mut rest);
        let will = (flags & 4 != 0).then(|| {
            let topic = text(&mut rest);
            let text = text(&mut rest);
            Message { topic, bytes: text.clone().into(), text, retained: flags & 0x20 != 0 }
        });
        let login = (flags & 0x80 != 0).then(|| {
            let user = text(&mut rest);
            (user, if flags & 0x40 != 0 { text(&mut rest) } else { String::new() })
        });
        stream.write_all(&[0x20, 2, 0, 0]).unwrap();
        stream.flush().unwrap();
        Client { stream, hello: Hello { will, login } }
    }
}

impl Client {
    /// The next message; none when the client says good-bye, an error when it is gone without.
    pub fn next(&mut self) -> Result<Option<Message>, ()> {
        loop {
            let (kind, packet) = read(&mut *self.stream).ok_or(())?;
            match kind >> 4 {
                3 => {
                    let mut rest = &packet[..];
                    let topic = text(&mut rest);
                    if kind & 6 != 0 {
                        // At least once: it wants to hear that it was heard.
                        let answer = [0x40, 2, rest[0], rest[1]];
                        rest = &rest[2..];
                        self.stream.write_all(&answer).and_then(|()| self.stream.flush()).map_err(|_| ())?;
                    }
                    let text = String::from_utf8_lossy(rest).into_owned();
                    return Ok(Some(Message { topic, text, bytes: rest.into(), retained: kind & 1 != 0 }));
                }
                12 => self.stream.write_all(&[0xd0, 0]).and_then(|()| self.stream.flush()).map_err(|_| ())?,
                14 => return Ok(None),
                other => panic!("packet {other}"),
            }
        }
    }

    /// The next message of a topic.
    pub fn next_of(&mut self, topic: &str) -> Message {
        loop {
            let message = self.next().unwrap().expect("a message");
            if message.topic == topic {
                return message;
            }
        }
    }

    /// The text of the next message of a topic, which is retained.
    pub fn hears(&mut self, topic: &str) -> String {
        let message = self.next_of(topic);
        assert!(message.retained);
        message.text
    }
}

fn read(stream: &mut dyn Stream) -> Option<(u8, Vec<u8>)> {
    let mut byte = [0];
    stream.read_exact(&mut byte).ok()?;
    let kind = byte[0];
    let (mut length, mut shift) = (0, 0);
    loop {
        stream.read_exact(&mut byte).ok()?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut packet = vec![0; length];
    stream.read_exact(&mut packet).ok()?;
    Some((kind, packet))
}

fn text(rest: &mut &[u8]) -> String {
    let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    let text = String::from_utf8(rest[2..2 + length].into()).unwrap();
    *rest = &rest[2 + length..];
    text
}
