//! What is promised of a call, on threads and in processes; Lambda's part is tested against its interfaces, in
//! `tests/cloud`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use tempfile::TempDir;

use super::*;

fn cloud() -> Cloud {
    Cloud::threads(
        Functions::new()
            .with("square", |_, x: u64| Ok(x * x))
            .with("fail", |_, why: String| Err::<(), _>(Stop::Failed(why)))
            .with("panic", |_, why: String| -> Result<(), Stop> { panic!("{why}") })
            .with("third", |context, (): ()| match context.attempt() {
                2 => Ok("third time".to_string()),
                attempt => panic!("attempt {attempt}"),
            })
            .with("again", |context, progress: bool| {
                if progress {
                    context.tell("something was done")?;
                }
                let attempt = context.attempt();
                if attempt < 10 { Err(Stop::Again("time is over".into())) } else { Ok(attempt) }
            })
            .with("count", |context, to: u64| {
                (0..to).try_for_each(|x| context.tell(&x)).map(|()| to)
            })
            .with("time", |context, (): ()| Ok(context.time_left()))
            .with("sleep", |_, (): ()| -> Result<(), Stop> {
                std::thread::sleep(Duration::from_secs(60));
                Ok(())
            }),
    )
}

fn error<R: DeserializeOwned>(handle: Result<Handle<R>, Error>) -> String {
    handle.and_then(Handle::join).map(drop).unwrap_err().to_string()
}

#[test]
fn results_come_back_in_order() {
    let cloud = cloud();
    let squares: Vec<u64> = cloud.invoke_all("square", 0..200).unwrap();
    assert!(squares.into_iter().eq((0..200).map(|x| x * x)));
    let none: Vec<u64> = cloud.invoke_all("square", Vec::<u64>::new()).unwrap();
    assert!(none.is_empty());
}

#[test]
fn errors_are_final_and_deaths_are_not() {
    let cloud = cloud();
    assert_eq!(error(cloud.spawn::<()>("fail", "bad row")), "fail: bad row");
    let third: String = cloud.spawn("third", &()).unwrap().join().unwrap();
    assert_eq!(third, "third time");
    let gave_up = "panic: panicked: oh, and was started 4 times; giving up";
    assert_eq!(error(cloud.spawn::<()>("panic", "oh")), gave_up);
    let once = "panic: panicked: oh, and was started 1 times; giving up";
    assert_eq!(error(cloud.clone().attempts(1).spawn::<()>("panic", "oh")), once);
    let unknown = error(cloud.spawn::<()>("cube", &1));
    assert!(unknown.starts_with("cube: there is no such function here; there are: again, "));
    let typed = error(cloud.spawn::<u64>("square", "four"));
    assert!(typed.starts_with("square: invalid type: string \"four\", expected u64"), "{typed}");
    let result = error(cloud.spawn::<String>("square", &2));
    assert!(result.starts_with("square: invalid type: "), "{result}");
}

#[test]
fn who_gets_on_may_ask_for_more_time() {
    let cloud = cloud();
    let attempts: u32 = cloud.spawn("again", &true).unwrap().join().unwrap();
    assert_eq!(attempts, 10);
    let stuck = "again: time is over, and was started 4 times; giving up";
    assert_eq!(error(cloud.spawn::<u32>("again", &false)), stuck);
}

#[test]
fn events_are_heard_in_order_before_the_end() {
    let (sender, heard) = mpsc::channel();
    let _running = cloud().start("count", &50, move |told| sender.send(told).unwrap()).unwrap();
    for at in 0..50u64 {
        assert!(matches!(heard.recv(), Ok(Told::Event(event)) if event == at));
    }
    assert!(matches!(heard.recv(), Ok(Told::Ended(Ok(result))) if result == 50));
    heard.recv().unwrap_err();
}

#[test]
fn time_that_is_over_is_a_death() {
    let cloud = cloud().attempts(2).timeout(Duration::from_millis(1));
    let error = error(cloud.spawn::<()>("sleep", &()));
    assert_eq!(error, "sleep: took longer than 1ms, and was started 2 times; giving up");
    let left: Option<Duration> =
        cloud.timeout(Duration::from_secs(9)).spawn("time", &()).unwrap().join().unwrap();
    assert!(left.is_some_and(|left| left <= Duration::from_secs(9)), "{left:?}");
}

#[test]
fn the_first_error_stops_all() {
    let began = Instant::now();
    let functions = Functions::new().with("one", |_, at: u32| {
        if at == 3 {
            return Err(Stop::Failed("three".into()));
        }
        std::thread::sleep(Duration::from_secs(60));
        Ok(at)
    });
    let error = Cloud::threads(functions).invoke_all::<_, u32>("one", 0..8).unwrap_err();
    assert_eq!(error.to_string(), "one: three");
    let handle = cloud().spawn::<()>("sleep", &()).unwrap();
    handle.stop();
    assert_eq!(handle.join().unwrap_err().to_string(), "sleep was stopped");
    assert!(began.elapsed() < Duration::from_secs(60), "nobody was waited for");
}

/// A program that speaks as [`Functions::serve`] does; `attempts` counts its starts.
struct Script {
    folder: TempDir,
}

impl Script {
    fn new(body: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs::write(&path, format!("#!/bin/sh\ncd {:?}\nread call\n{body}\n", folder.path()))
            .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        Self { folder }
    }

    fn cloud(&self) -> Cloud {
        Cloud::processes(self.folder.path().join("program"))
    }
}

#[test]
fn processes_die_and_are_started_again() {
    let script = Script::new(
        "echo started >> log\n\
         case $(wc -l < log) in 1) kill -9 $$ ;; 2) exit 3 ;; 3) exit 0 ;; esac\n\
         echo '{\"event\":\"up\"}'; echo 'not for the driver'; echo '{\"done\":[1,2]}'",
    );
    let told = Arc::new(Mutex::new(Vec::new()));
    let (hears, (done, over)) = (told.clone(), mpsc::channel());
    let running = script.cloud().start("f", &(), move |word| {
        if let Told::Ended(_) = word {
            done.send(()).unwrap();
        }
        hears.lock().unwrap().push(format!("{word:?}"));
    });
    over.recv().unwrap();
    drop(running);
    let told = told.lock().unwrap();
    assert!(told[0].contains("signal: 9 (SIGKILL)"), "{told:?}");
    assert!(told[1].contains("exit status: 3"), "{told:?}");
    assert!(told[2].contains("exit status: 0"), "{told:?}");
    assert!(told[3].contains("up") && told[4].contains("Ok(Array [Number(1), Number(2)])"));

    let dies = Script::new("kill -9 $$");
    let error = error(dies.cloud().spawn::<()>("f", &()));
    assert_eq!(error, "f: signal: 9 (SIGKILL), and was started 4 times; giving up");
    let none = Cloud::processes("/none/such");
    let error = self::error(none.spawn::<()>("f", &()));
    assert_eq!(error, "f cannot be started: /none/such: No such file or directory (os error 2)");
}

#[test]
fn processes_that_are_not_wanted_are_killed() {
    // The script says who it is, and waits for the end of what nobody writes.
    let script = Script::new("echo $$ > pid; echo '{\"event\":0}'; cat");
    let (sender, heard) = mpsc::channel();
    let running = script.cloud().start("f", &(), move |told| drop(sender.send(told))).unwrap();
    assert!(matches!(heard.recv(), Ok(Told::Event(_))));
    let pid = fs::read_to_string(script.folder.path().join("pid")).unwrap();
    let process = PathBuf::from(format!("/proc/{}", pid.trim()));
    assert!(process.exists());
    drop(running);
    assert!(!process.exists());
    assert!(matches!(heard.recv(), Ok(Told::Ended(Err(Error::Stopped { .. })))));
}
