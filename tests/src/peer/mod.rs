//! Programs that talk through the gateway: real ones, and small ones where none fits.

mod dns;
mod echo;
mod office;
mod resolve;
mod resolver;
mod sip;
mod stun;
mod tls;
mod tunnel;
mod webrtc;

pub use self::{
    dns::{Dns, reply},
    echo::{Echo, ask},
    office::{Kind, Office, Seen},
    resolve::{query, resolve, resolve_from},
    resolver::{Dnsmasq, Knot, Unbound},
    sip::{RTP_PORT, SipCall, SipServer},
    stun::{StunServer, mapped_address},
    tls::{CLIENT_HELLO, SERVER_HELLO, TlsServer, TlsVersion, download, noise, shake_hands, upload},
    tunnel::Tunnel,
    webrtc::WebRtcCall,
};
