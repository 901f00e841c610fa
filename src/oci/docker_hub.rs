//! Docker Hub: its images are named after another host than its server, and clients leave parts of the names out.

/// The registry in the names of its images. Names without a registry mean it.
pub const DOCKER_HUB: &str = "docker.io";
/// The first path segment that clients leave out.
pub const OFFICIAL: &str = "library";
/// The host of its registry.
pub const SERVER: &str = "registry-1.docker.io";
/// A host that docker and podman replace by [`DOCKER_HUB`] in the names of images.
pub const INDEX: &str = "index.docker.io";
/// Its hosts that are not in the names of its images.
pub const HOSTS: [&str; 2] = [SERVER, INDEX];
