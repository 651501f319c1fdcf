//! Who the collector is: it opens the device as root and goes on as somebody
//! who owns nothing but the recordings.

use nix::errno::Errno;
use nix::unistd::{
    Gid, Uid, User, getegid, geteuid, getgid, getgroups, getuid, setgid, setgroups, setuid,
};
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// An account of this system, as passwd(5) has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    /// The account's own group.
    pub gid: u32,
    pub name: String,
}

/// Why there is no such account, or why it cannot be had. Names stand in it as
/// they were given.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrivilegeError {
    #[error("no account is called \"{0}\"")]
    NoSuchUser(String),
    #[error("account {user}: {cause}")]
    Accounts { user: String, cause: Errno },
    #[error("only root may go on as {wanted}, and this is {is}")]
    NotRoot { wanted: Identity, is: Identity },
    #[error("cannot go on as {wanted}: {call}: {cause}")]
    Call {
        wanted: Identity,
        call: &'static str,
        cause: Errno,
    },
    #[error("cannot go on as {wanted}: afterwards, {what}")]
    Kept {
        wanted: Identity,
        what: &'static str,
    },
}

/// Why recordings must not be written into a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    #[error("not a directory")]
    NotADirectory,
    #[error("it belongs to user {owner}, not to root or to user {wanted}")]
    Owner { owner: u32, wanted: u32 },
    #[error("its mode is {mode:04o}: others than its owner may write to it")]
    Writable { mode: u32 },
}

impl Identity {
    /// The account with this name, or else with this number.
    pub fn find(user: &str) -> Result<Identity, PrivilegeError> {
        let failed = |cause| PrivilegeError::Accounts {
            user: user.to_owned(),
            cause,
        };
        let mut found = match user.as_bytes().contains(&0) {
            true => None,
            false => User::from_name(user).map_err(failed)?,
        };
        // A name may consist of digits, so it goes first, as with chown(8).
        if found.is_none()
            && let Ok(number) = user.parse()
        {
            found = User::from_uid(Uid::from_raw(number)).map_err(failed)?;
        }
        match found {
            Some(account) => Ok(Identity {
                uid: account.uid.as_raw(),
                gid: account.gid.as_raw(),
                name: account.name,
            }),
            None => Err(PrivilegeError::NoSuchUser(user.to_owned())),
        }
    }

    /// Whoever runs this process: its effective user and group. An account
    /// without a name is called by its number.
    pub fn current() -> Identity {
        let uid = geteuid();
        let name = match User::from_uid(uid) {
            Ok(Some(account)) => account.name,
            _ => uid.to_string(),
        };
        Identity {
            uid: uid.as_raw(),
            gid: getegid().as_raw(),
            name,
        }
    }

    pub fn is_root(&self) -> bool {
        self.uid == 0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (user {})", self.name, self.uid)
    }
}

/// Makes the whole process that account, with its own group and no other, for
/// good: it is an error if root could be regained.
///
/// Nothing happens if the process has been that user from its start. What the
/// process has open stays open.
pub fn drop_to(wanted: &Identity) -> Result<(), PrivilegeError> {
    let (uid, gid) = (Uid::from_raw(wanted.uid), Gid::from_raw(wanted.gid));
    if getuid() == uid && geteuid() == uid {
        return Ok(());
    }
    if !geteuid().is_root() {
        return Err(PrivilegeError::NotRoot {
            wanted: wanted.clone(),
            is: Identity::current(),
        });
    }
    let failed = |call| {
        move |cause| PrivilegeError::Call {
            wanted: wanted.clone(),
            call,
            cause,
        }
    };
    // Groups first: only root may change them.
    setgroups(&[gid]).map_err(failed("setgroups"))?;
    setgid(gid).map_err(failed("setgid"))?;
    setuid(uid).map_err(failed("setuid"))?;
    verify(wanted)
}

/// That the process is that account, and can be nobody else.
fn verify(wanted: &Identity) -> Result<(), PrivilegeError> {
    let (uid, gid) = (Uid::from_raw(wanted.uid), Gid::from_raw(wanted.gid));
    let kept = |what| {
        Err(PrivilegeError::Kept {
            wanted: wanted.clone(),
            what,
        })
    };
    if getuid() != uid || geteuid() != uid {
        return kept("the user is another one");
    }
    if getgid() != gid || getegid() != gid {
        return kept("the group is another one");
    }
    match getgroups() {
        Ok(groups) if groups.iter().all(|group| *group == gid) => {}
        _ => return kept("there are other groups"),
    }
    if uid.is_root() {
        return Ok(());
    }
    let root = Uid::from_raw(0);
    if setuid(root).is_ok() || nix::unistd::seteuid(root).is_ok() {
        return kept("root could be regained");
    }
    let wheel = Gid::from_raw(0);
    if gid != wheel && (setgid(wheel).is_ok() || nix::unistd::setegid(wheel).is_ok()) {
        return kept("the group of root could be regained");
    }
    Ok(())
}

/// That nobody but root and `writer` can put anything into a directory, or
/// take anything away; `directory` is the state of an open descriptor, so that
/// no other directory can take its place.
pub fn check_directory(directory: &Metadata, writer: &Identity) -> Result<(), DirectoryError> {
    const OTHERS_WRITE: u32 = 0o022;
    if !directory.is_dir() {
        return Err(DirectoryError::NotADirectory);
    }
    let owner = directory.uid();
    if owner != 0 && owner != writer.uid {
        return Err(DirectoryError::Owner {
            owner,
            wanted: writer.uid,
        });
    }
    let mode = directory.permissions().mode() & 0o7777;
    if mode & OTHERS_WRITE != 0 {
        return Err(DirectoryError::Writable { mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::process::Command;

    #[test]
    fn finds_accounts() {
        let root = Identity::find("root").unwrap();
        assert_eq!((root.uid, root.gid, root.name.as_str()), (0, 0, "root"));
        assert_eq!(Identity::find("0").unwrap(), root);
        let current = Identity::current();
        assert_eq!(
            Identity::find(&current.uid.to_string()).map(|i| i.uid),
            Ok(current.uid)
        );
        for nobody in ["", "no such user", "a\0b", "-1", "4294967296"] {
            assert_eq!(
                Identity::find(nobody),
                Err(PrivilegeError::NoSuchUser(nobody.to_owned()))
            );
        }
    }

    /// Another process each time: a user is given up for good.
    fn in_a_process(what: &str, setup: impl FnOnce(&mut Command)) -> String {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "record::privileges::tests::child", "--nocapture"])
            .env("TCPLOG_TEST_CHILD", what);
        setup(&mut command);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What [`in_a_process`] runs; by itself it does nothing.
    #[test]
    fn child() {
        let Ok(user) = std::env::var("TCPLOG_TEST_CHILD") else {
            return;
        };
        if user == "half" {
            // As a program would that forgets the saved user.
            let nobody = Identity::find("nobody").unwrap();
            let (uid, gid) = (Uid::from_raw(nobody.uid), Gid::from_raw(nobody.gid));
            setgroups(&[gid]).unwrap();
            setgid(gid).unwrap();
            nix::unistd::setresuid(uid, uid, Uid::from_raw(0)).unwrap();
            println!("\n{}", verify(&nobody).unwrap_err());
            return;
        }
        let wanted = Identity::find(&user).unwrap();
        match drop_to(&wanted) {
            Ok(()) => println!(
                "\nbecame {} {} {:?}, reads: {}",
                getuid(),
                getgid(),
                getgroups().unwrap(),
                File::open("/etc/shadow").is_ok()
            ),
            Err(e) => println!("\n{e}"),
        }
    }

    #[test]
    fn root_becomes_another_and_cannot_return() {
        let nobody = Identity::find("nobody").unwrap();
        let is = Identity::current();
        let output = in_a_process("nobody", |_| {});
        let expected = if is.is_root() {
            format!(
                "became {} {} [Gid({})], reads: false",
                nobody.uid, nobody.gid, nobody.gid
            )
        } else {
            format!("only root may go on as {nobody}, and this is {is}")
        };
        assert!(output.contains(&expected), "{output}");
        if is.is_root() {
            let output = in_a_process("half", |_| {});
            let expected = "afterwards, root could be regained";
            assert!(output.contains(expected), "{output}");
        }
    }

    #[test]
    fn only_root_becomes_another() {
        use std::os::unix::process::CommandExt;
        let nobody = Identity::find("nobody").unwrap();
        let output = in_a_process("root", |command| {
            // Whoever is not root is nobody enough.
            if Identity::current().is_root() {
                command.uid(nobody.uid).gid(nobody.gid);
            }
        });
        let expected = "only root may go on as root (user 0), and this is ";
        assert!(output.contains(expected), "{output}");
    }

    #[test]
    fn nothing_to_do_for_the_same_user() {
        let current = Identity::current();
        let groups = getgroups().unwrap();
        assert_eq!(drop_to(&current), Ok(()));
        assert_eq!(getgroups().unwrap(), groups);
    }

    #[test]
    fn whoever_can_return_is_found_out() {
        // This process is whoever runs the tests, so a wish for another user
        // or group is never fulfilled.
        let mut wanted = Identity::current();
        wanted.gid = wanted.gid.wrapping_add(1);
        let error = verify(&wanted).unwrap_err().to_string();
        assert!(error.ends_with("the group is another one"), "{error}");
        wanted.uid = wanted.uid.wrapping_add(1);
        let error = verify(&wanted).unwrap_err().to_string();
        assert!(error.ends_with("the user is another one"), "{error}");
    }

    #[test]
    fn directories() {
        let dir = tempfile::tempdir().unwrap();
        let me = Identity::current();
        let check = |mode: u32, who: &Identity| {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
            let open = File::open(dir.path()).unwrap();
            check_directory(&open.metadata().unwrap(), who)
        };
        assert_eq!(check(0o700, &me), Ok(()));
        assert_eq!(check(0o755, &me), Ok(()));
        for mode in [0o775, 0o757, 0o1777] {
            assert_eq!(check(mode, &me), Err(DirectoryError::Writable { mode }));
        }
        let other = Identity {
            uid: me.uid.wrapping_add(1),
            ..me.clone()
        };
        let expected = match me.uid {
            0 => Ok(()),
            owner => Err(DirectoryError::Owner {
                owner,
                wanted: other.uid,
            }),
        };
        assert_eq!(check(0o755, &other), expected);
        let file = dir.path().join("file");
        let file = File::create(file).unwrap();
        assert_eq!(
            check_directory(&file.metadata().unwrap(), &me),
            Err(DirectoryError::NotADirectory)
        );
    }
}
