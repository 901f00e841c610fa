//! Docker Hub: its image names contain another host than its server's, and clients omit parts of the names.

/// The registry in the names of its images, and the default registry.
pub const DOCKER_HUB: &str = "docker.io";
/// The first path segment, which clients may omit.
pub const OFFICIAL: &str = "library";
/// The host of its registry.
pub const SERVER: &str = "registry-1.docker.io";
/// A host that docker and podman replace by [`DOCKER_HUB`] in the names of images.
pub const INDEX: &str = "index.docker.io";
/// Its hosts that are not in the names of its images.
pub const HOSTS: [&str; 2] = [SERVER, INDEX];
