//! TLS: OpenSSL as the server, curl and OpenSSL as clients.

use std::{
    fmt, fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::lab::{Lab, Process, eventually, patience};

/// The name that the server's certificate is for.
pub(super) const NAME: &str = "acme.thulium.com";

/// A version of TLS that a client insists on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        })
    }
}

/// An HTTPS server that serves the files of a folder.
pub struct TlsServer {
    _process: Process,
    folder: PathBuf,
}

/// The beginning of a client's hello, as far as a TLS floor needs it: a connection that starts with it may go on as it likes.
pub const CLIENT_HELLO: [u8; 11] = [22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3];
/// The beginning of a server's hello that settles on TLS 1.2.
pub const SERVER_HELLO: [u8; 11] = [22, 3, 3, 0, 6, 2, 0, 0, 2, 3, 3];

impl TlsServer {
    /// Starts it on port `port` of all the internet's addresses, and waits until it listens.
    ///
    /// # Errors
    /// When `openssl` is not installed or does not start.
    pub fn new(lab: &Lab, port: u16) -> Result<Self> {
        Self::with(lab, port, &["-WWW"])
    }

    /// The same with other options of `openssl s_server`.
    ///
    /// # Errors
    /// When `openssl` is not installed or does not start.
    pub fn with(lab: &Lab, port: u16, options: &[&str]) -> Result<Self> {
        let folder = lab.dir().join(format!("https-{port}"));
        let mut process = serve(lab, &folder, port, options)?;
        process.wait_listening("tcp", port)?;
        Ok(Self { _process: process, folder })
    }

    /// Makes a file of `bytes` pseudo-random bytes that clients can download; returns its content.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn publish(&self, name: &str, bytes: usize) -> Result<Vec<u8>> {
        let content = noise(bytes);
        fs::write(self.folder.join(name), &content)?;
        Ok(content)
    }
}

/// Downloads `file` with curl from the LAN by one version of TLS.
///
/// # Errors
/// When curl fails; its message is the error.
pub fn download(lab: &Lab, server: impl Into<IpAddr>, port: u16, file: &str, version: TlsVersion) -> Result<Vec<u8>> {
    let server = server.into();
    let mut curl = lab.lan.command("curl");
    let seconds = |usual| patience(Duration::from_secs(usual)).as_secs().to_string();
    curl.args(["--silent", "--show-error", "--fail", "--http0.9"])
        .args(["--max-time", &seconds(30), "--connect-timeout", &seconds(3)])
        .args([&format!("--tlsv{version}"), "--tls-max", &version.to_string()])
        .arg("--cacert")
        .arg(lab.dir().join(format!("https-{port}/cert.pem")))
        .args(["--resolve", &format!("{NAME}:{port}:{server}")])
        .arg(format!("https://{NAME}:{port}/{file}"));
    let output = curl.output().context("starting curl")?;
    if !output.status.success() {
        bail!("curl: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// Sends `content` from the LAN with `openssl s_client` to an `openssl s_server`; returns what arrived.
///
/// # Errors
/// When either end fails or the content does not arrive whole within 30 s.
pub fn upload(lab: &Lab, server: impl Into<IpAddr>, port: u16, content: &[u8], version: TlsVersion) -> Result<Vec<u8>> {
    let server = SocketAddr::new(server.into(), port);
    let folder = lab.dir().join(format!("upload-{port}"));
    let mut receiver = serve(lab, &folder, port, &["-quiet"])?;
    receiver.wait_listening("tcp", port)?;
    let source = folder.join("content");
    fs::write(&source, content)?;
    let mut client = lab.lan.command("openssl");
    client
        .args(["s_client", "-quiet", "-nocommands", "-no_ign_eof", "-connect", &server.to_string()])
        .arg(if version == TlsVersion::V1_2 { "-tls1_2" } else { "-tls1_3" })
        .stdin(fs::File::open(&source)?)
        .stdout(Stdio::null());
    let mut client = Process::spawn_reading(&mut client, &folder.join("client.log"))?;
    client.wait(Duration::from_secs(30)).with_context(|| client.log())?;
    let log = folder.join("openssl.log");
    eventually("the upload's end", || {
        let received = fs::read(&log)?;
        ensure!(received.len() >= content.len(), "{} of {} bytes arrived", received.len(), content.len());
        Ok(received)
    })
}

/// Shakes hands with a server from the LAN, with these options of `openssl s_client`; returns what it says of the connection.
///
/// # Errors
/// When no connection comes about within 10 s; what openssl says is the error.
pub fn shake_hands(lab: &Lab, server: Ipv4Addr, port: u16, options: &[&str]) -> Result<String> {
    let mut client = lab.lan.command("openssl");
    client.args(["s_client", "-connect", &format!("{server}:{port}")]).args(options).stdin(Stdio::null());
    let log = lab.dir().join("handshake.log");
    let _ = fs::remove_file(&log);
    let mut client = Process::spawn_reading(&mut client, &log)?;
    let ended = client.wait(Duration::from_secs(10)).with_context(|| client.log())?;
    ensure!(ended.success(), "openssl s_client: {}", client.log());
    Ok(client.log())
}

/// Starts `openssl s_server` with a certificate of its own in `folder`.
fn serve(lab: &Lab, folder: &PathBuf, port: u16, options: &[&str]) -> Result<Process> {
    // What an earlier server received is not what this one did.
    let _ = fs::remove_dir_all(folder);
    make_certificate(lab, folder)?;
    let mut server = lab.internet.command("openssl");
    server
        .args(["s_server", "-accept", &port.to_string(), "-key", "key.pem", "-cert", "cert.pem"])
        .args(options)
        .current_dir(folder);
    // It complains of connections without a hello, such as the gateway's probes: that is not what it received.
    Process::spawn_apart(&mut server, &folder.join("openssl.log"))
}

/// Makes `folder`, and in it `key.pem` and `cert.pem` for [`NAME`].
pub(super) fn make_certificate(lab: &Lab, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let subject = format!("/CN={NAME}");
    let name = format!("subjectAltName=DNS:{NAME}");
    let mut request = lab.internet.command("openssl");
    request
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-keyout", "key.pem", "-out", "cert.pem", "-subj", &subject, "-addext", &name])
        .current_dir(folder);
    let made = request.output().context("starting openssl")?;
    ensure!(made.status.success(), "openssl req: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

/// Bytes that no compression or offload shortens, the same at every call (xorshift).
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    })
    .take(bytes)
    .collect()
}
