//! Eclair as an adapter.

/// Serves.
///
/// # Errors
/// Always, yet.
pub fn serve_stdio(_: &std::path::Path) -> std::io::Result<()> {
    Err(std::io::Error::other("not yet"))
}
