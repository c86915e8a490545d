//! Whom to trust when a connection is encrypted.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Trusts the certificates of a PEM file, or those that the system trusts.
pub fn config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(file) => {
            let at = |e: &dyn std::fmt::Display| format!("--ca {}: {e}", file.display());
            for certificate in CertificateDer::pem_file_iter(file).map_err(|e| at(&e))? {
                roots.add(certificate.map_err(|e| at(&e))?).map_err(|e| at(&e))?;
            }
            if roots.is_empty() {
                return Err(at(&"no certificate in it"));
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err("this system trusts no certificates (package ca-certificates?); see --ca".into());
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
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
