"""The numbers of the system calls that we call or filter, for each machine that has a filter."""

from __future__ import annotations

# The column of each machine in NUMBERS, by its name in uname(2).
MACHINES = {"x86_64": 0, "aarch64": 1}
# The last call that we know (file_setattr, Linux 6.18). A kernel may have newer ones, which nobody has reviewed.
NEWEST = 469
#: The first and the last number of each range of calls that we have reviewed. A kernel may give the numbers between the
#: ranges to new calls of its machine, as it did with uretprobe (335) and uprobe (336).
KNOWN = {"x86_64": ((0, 336), (424, NEWEST)), "aarch64": ((0, 243), (260, 294), (424, NEWEST))}

# On x86_64 (asm/unistd_64.h) and on aarch64 (asm-generic/unistd.h), which lacks some old calls.
# fmt: off
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "access": (21, None), "acct": (163, 89), "add_key": (248, 217), "adjtimex": (159, 171), "bind": (49, 200),
    "bpf": (321, 280), "capset": (126, 91), "chmod": (90, None), "chroot": (161, 51), "clock_adjtime": (305, 266),
    "clock_settime": (227, 112), "clone": (56, 220), "clone3": (435, 435), "close_range": (436, 436),
    "connect": (42, 203), "creat": (85, None), "delete_module": (176, 106), "execve": (59, 221),
    "execveat": (322, 281), "faccessat": (269, 48), "faccessat2": (439, 439), "fanotify_init": (300, 262),
    "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "file_getattr": (468, 468),
    "file_setattr": (469, 469), "finit_module": (313, 273), "fremovexattr": (199, 16), "fsconfig": (431, 431),
    "fsetxattr": (190, 7), "fsmount": (432, 432), "fsopen": (430, 430), "fspick": (433, 433), "getpeername": (52, 205),
    "getsockopt": (55, 209), "getxattr": (191, 8), "getxattrat": (464, 464), "init_module": (175, 105),
    "inotify_init": (253, None), "inotify_init1": (294, 26), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "io_uring_setup": (425, 425), "ioctl": (16, 29), "ioperm": (173, None),
    "iopl": (172, None), "ioprio_get": (252, 31), "ioprio_set": (251, 30), "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104), "keyctl": (250, 219), "landlock_add_rule": (445, 445),
    "landlock_create_ruleset": (444, 444), "landlock_restrict_self": (446, 446), "lgetxattr": (192, 9),
    "link": (86, None), "linkat": (265, 37), "listen": (50, 201), "listxattr": (194, 11), "listxattrat": (465, 465),
    "llistxattr": (195, 12), "lookup_dcookie": (212, 18), "lremovexattr": (198, 15), "lsetxattr": (189, 6),
    "lsm_set_self_attr": (460, 460), "lstat": (6, None), "memfd_secret": (447, 447), "migrate_pages": (256, 238),
    "mkdir": (83, None), "mkdirat": (258, 34), "mknod": (133, None), "mknodat": (259, 33), "modify_ldt": (154, None),
    "mount": (165, 40), "mount_setattr": (442, 442), "move_mount": (429, 429), "move_pages": (279, 239),
    "mq_open": (240, 180), "mq_unlink": (241, 181), "msgctl": (71, 187), "msgget": (68, 186), "msgrcv": (70, 188),
    "msgsnd": (69, 189), "name_to_handle_at": (303, 264), "newfstatat": (262, 79), "nfsservctl": (180, 42),
    "open": (2, None), "open_by_handle_at": (304, 265), "open_tree": (428, 428), "open_tree_attr": (467, 467),
    "openat": (257, 56), "openat2": (437, 437), "perf_event_open": (298, 241), "personality": (135, 92),
    "pidfd_getfd": (438, 438), "pivot_root": (155, 41), "prctl": (157, 167), "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "ptrace": (101, 117), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "readlink": (89, None), "readlinkat": (267, 78), "reboot": (169, 142),
    "recvfrom": (45, 207),
    "removexattr": (197, 14), "removexattrat": (466, 466), "rename": (82, None), "renameat": (264, 38),
    "renameat2": (316, 276), "request_key": (249, 218), "sched_setaffinity": (203, 122), "sched_setattr": (314, 274),
    "sched_setparam": (142, 118), "sched_setscheduler": (144, 119), "seccomp": (317, 277), "semctl": (66, 191),
    "semget": (64, 190), "semop": (65, 193), "semtimedop": (220, 192), "sendmmsg": (307, 269), "sendmsg": (46, 211),
    "sendto": (44, 206), "setdomainname": (171, 162), "sethostname": (170, 161), "setns": (308, 268),
    "setpriority": (141, 140), "setrlimit": (160, 164), "settimeofday": (164, 170), "setxattr": (188, 5),
    "setxattrat": (463, 463), "shmat": (30, 196), "shmctl": (31, 195), "shmget": (29, 194), "socket": (41, 198),
    "socketpair": (53, 199), "stat": (4, None), "statx": (332, 291), "swapoff": (168, 225), "swapon": (167, 224),
    "syslog": (103, 116), "tgkill": (234, 131), "truncate": (76, 45), "umount2": (166, 39), "unshare": (272, 97),
    "uselib": (134, None), "userfaultfd": (323, 282), "vhangup": (153, 58),
}
# fmt: on
