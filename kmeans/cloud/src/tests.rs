//! The guarantees of a call, on threads and in processes. `tests/lambda.rs` has those on Lambda.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use tempfile::TempDir;

use super::*;

fn cloud() -> Cloud {
    Cloud::threads(
        Functions::new()
            .with("square", |_, x: u64| Ok(x * x))
            .with("fail", |_, why: String| Err::<(), _>(Failure::Final(why)))
            .with("panic", |_, why: String| -> Result<(), Failure> { panic!("{why}") })
            .with("third", |context, (): ()| match context.attempt() {
                2 => Ok("third time".to_string()),
                attempt => panic!("attempt {attempt}"),
            })
            .with("retry", |context, progress: bool| {
                let attempt = context.attempt();
                // What is reported is no progress.
                context.report("something was done")?;
                context.reached(if progress { 7 + u64::from(attempt) } else { 7 });
                if attempt < 10 { Err(Failure::Retry("time is over".into())) } else { Ok(attempt) }
            })
            .with("count", |context, to: u64| {
                (0..to).try_for_each(|x| context.report(&x)).map(|()| to)
            })
            .with("time", |context, (): ()| Ok(context.time_left()))
            .with("sleep", |_, (): ()| -> Result<(), Failure> {
                std::thread::sleep(Duration::from_secs(60));
                Ok(())
            }),
    )
}

fn error<R: DeserializeOwned>(handle: Result<CallHandle<R>, Error>) -> String {
    handle.and_then(CallHandle::join).map(drop).unwrap_err().to_string()
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
    let gave_up = "panic: panicked: oh; gave up after 4 attempts";
    assert_eq!(error(cloud.spawn::<()>("panic", "oh")), gave_up);
    let once = "panic: panicked: oh; gave up after 1 attempt";
    assert_eq!(error(cloud.clone().attempts(1).spawn::<()>("panic", "oh")), once);
    let unknown = error(cloud.spawn::<()>("cube", &1));
    assert!(unknown.starts_with("cube: unknown function; this program has: count, "));
    let typed = error(cloud.spawn::<u64>("square", "four"));
    assert!(typed.starts_with("square: invalid type: string \"four\", expected u64"), "{typed}");
    let result = error(cloud.spawn::<String>("square", &2));
    assert!(result.starts_with("square: invalid type: "), "{result}");
}

#[test]
fn a_function_that_makes_progress_may_retry_often() {
    let cloud = cloud();
    let attempts: u32 = cloud.spawn("retry", &true).unwrap().join().unwrap();
    assert_eq!(attempts, 10);
    let stuck = "retry: time is over; gave up after 5 attempts";
    assert_eq!(error(cloud.spawn::<u32>("retry", &false)), stuck);
    let stuck = cloud.spawn::<u32>("retry", &false).unwrap().join().unwrap_err();
    assert!(matches!(stuck, Error::GaveUp { is_stuck: true, .. }), "{stuck:?}");
    let died = cloud.spawn::<()>("panic", "oh").unwrap().join().unwrap_err();
    assert!(matches!(died, Error::GaveUp { is_stuck: false, .. }), "{died:?}");
}

#[test]
fn progress_arrives_in_order_before_the_result() {
    let (sender, events) = mpsc::channel();
    let _guard = cloud().start("count", &50, move |event| sender.send(event).unwrap()).unwrap();
    for at in 0..50u64 {
        assert!(matches!(events.recv(), Ok(CallEvent::Progress(progress)) if progress == at));
    }
    assert!(matches!(events.recv(), Ok(CallEvent::Finished(Ok(result))) if result == 50));
    events.recv().unwrap_err();
}

#[test]
fn a_timeout_is_a_death() {
    let cloud = cloud().attempts(2).timeout(Duration::from_millis(1));
    let error = error(cloud.spawn::<()>("sleep", &()));
    assert_eq!(error, "sleep: took longer than 1ms; gave up after 2 attempts");
    let left: Option<Duration> =
        cloud.timeout(Duration::from_secs(9)).spawn("time", &()).unwrap().join().unwrap();
    assert!(left.is_some_and(|left| left <= Duration::from_secs(9)), "{left:?}");
}

#[test]
fn the_first_error_stops_all() {
    let began = Instant::now();
    let functions = Functions::new().with("one", |_, at: u32| {
        if at == 3 {
            return Err(Failure::Final("three".into()));
        }
        std::thread::sleep(Duration::from_secs(60));
        Ok(at)
    });
    let error = Cloud::threads(functions).invoke_all::<_, u32>("one", 0..8).unwrap_err();
    assert_eq!(error.to_string(), "one: three");
    let handle = cloud().spawn::<()>("sleep", &()).unwrap();
    handle.stop();
    assert_eq!(handle.join().unwrap_err().to_string(), "sleep was stopped");
    assert!(began.elapsed() < Duration::from_secs(60), "no call was waited for");
}

/// A program that writes the messages that [`Functions::serve`] writes.
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
    let events = Arc::new(Mutex::new(Vec::new()));
    let (listener, (done, finished)) = (events.clone(), mpsc::channel());
    let guard = script.cloud().start("f", &(), move |event| {
        if let CallEvent::Finished(_) = event {
            done.send(()).unwrap();
        }
        listener.lock().unwrap().push(format!("{event:?}"));
    });
    finished.recv().unwrap();
    drop(guard);
    let events = events.lock().unwrap();
    assert!(events[0].contains("signal: 9 (SIGKILL)"), "{events:?}");
    assert!(events[1].contains("exit status: 3"), "{events:?}");
    assert!(events[2].contains("exit status: 0"), "{events:?}");
    assert!(events[3].contains("up") && events[4].contains("Ok(Array [Number(1), Number(2)])"));

    let dies = Script::new("kill -9 $$");
    let error = error(dies.cloud().spawn::<()>("f", &()));
    assert_eq!(error, "f: signal: 9 (SIGKILL); gave up after 4 attempts");
    let none = Cloud::processes("/none/such");
    let error = self::error(none.spawn::<()>("f", &()));
    assert_eq!(error, "f cannot be started: /none/such: No such file or directory (os error 2)");
}

#[test]
fn processes_of_a_call_that_is_dropped_are_killed() {
    // The script writes its process id and waits for the end of its input.
    let script = Script::new("echo $$ > pid; echo '{\"event\":0}'; cat");
    let (sender, events) = mpsc::channel();
    let guard = script.cloud().start("f", &(), move |event| drop(sender.send(event))).unwrap();
    assert!(matches!(events.recv(), Ok(CallEvent::Progress(_))));
    let pid = fs::read_to_string(script.folder.path().join("pid")).unwrap();
    let process = PathBuf::from(format!("/proc/{}", pid.trim()));
    assert!(process.exists());
    drop(guard);
    assert!(!process.exists());
    assert!(matches!(events.recv(), Ok(CallEvent::Finished(Err(Error::Stopped { .. })))));
}
