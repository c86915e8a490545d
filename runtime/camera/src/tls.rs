//! Whom to trust when a connection is encrypted.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// The certificates of a PEM file, or those that the system trusts.
fn roots(ca: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, String> {
    match ca {
        Some(file) => {
            let at = |e: &dyn std::fmt::Display| format!("--ca {}: {e}", file.display());
            let all = CertificateDer::pem_file_iter(file).map_err(|e| at(&e))?;
            let all = all.collect::<Result<Vec<_>, _>>().map_err(|e| at(&e))?;
            if all.is_empty() { Err(at(&"no certificate in it")) } else { Ok(all) }
        }
        None => match rustls_native_certs::load_native_certs().certs {
            found if found.is_empty() => {
                Err("this system trusts no certificates (package ca-certificates?); see --ca".into())
            }
            found => Ok(found),
        },
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// For MQTT: trusts the certificates of a PEM file, or those that the system trusts.
pub fn config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut trusted = RootCertStore::empty();
    for certificate in roots(ca)? {
        // Systems trust a few that are malformed, which are left out.
        if let (Err(e), Some(file)) = (trusted.add(certificate), ca) {
            return Err(format!("--ca {}: {e}", file.display()));
        }
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// For HTTP: the same trust.
pub fn client(ca: Option<&Path>) -> Result<TlsConfig, String> {
    let roots: Vec<Certificate<'_>> =
        roots(ca)?.iter().map(|c| Certificate::from_der(c).to_owned()).collect();
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(provider())
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_certificates_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(config(Some(file.path())).unwrap_err().contains("no certificate"));
        std::fs::write(file.path(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .unwrap();
        assert!(config(Some(file.path())).is_err());
        assert!(config(Some(Path::new("/nowhere.pem"))).is_err());
    }
}
