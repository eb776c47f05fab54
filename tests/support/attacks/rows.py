"""Kinds of attack that the suite does not run: their tests, or the reason why they are out of scope.

The ids continue those of :data:`isolated_hooks.selftest.promises.KINDS`, which has the kinds that the suite runs.
"""

from __future__ import annotations

import dataclasses

__all__ = ["ROWS", "Row"]


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind.

    :ivar tries: the aim of the backend, which completes a sentence that ends with *to*
    :ivar tests: the ids of the tests, as in pytest; empty if the kind is out of scope
    :ivar scope: the reason why the kind is out of scope
    """

    tries: str
    tests: tuple[str, ...] = ()
    scope: str = ""


def _tested(tries: str, *tests: str) -> Row:
    return Row(tries, tuple(f"tests/{test}" for test in tests))


def _out(tries: str, scope: str) -> Row:
    return Row(tries, scope=scope)


ROWS = {
    "A18": _tested(
        "put what it has found into the wheel, for whoever downloads that",
        "attacks/suite/test_hostile_backend.py::test_nothing_is_smuggled_out_in_an_artefact",
    ),
    "B01": _tested(
        "put modules into the source tree that the launcher would import",
        "attacks/found/test_launcher_injection.py::test_modules_in_the_working_directory",
        "attacks/found/test_found_by_attack.py::test_the_launcher_loads_nothing_from_the_tree",
    ),
    "B02": _tested(
        "name a backend path outside of the source tree",
        "integration/call/test_caller.py::test_a_backend_path_out_of_the_tree_is_refused",
        "attacks/found/test_backend_paths.py::test_a_neighbour_by_the_prefix_of_its_name_is_not_loaded",
    ),
    "B04": _tested(
        "name a backend path that is a link to elsewhere",
        "attacks/found/test_backend_paths.py::test_a_link_out_of_the_tree_is_not_followed",
    ),
    "C08": _tested(
        "rewrite the project's own files, so that a later step misbehaves",
        "attacks/lifecycle/test_lifecycle.py::test_a_read_only_source_tree_stays_as_it_is",
    ),
    "C09": _tested(
        "leave configuration of editors and agents in the source tree",
        "attacks/lifecycle/test_lifecycle.py::test_a_read_only_source_tree_stays_as_it_is",
    ),
    "D04": _tested(
        "leave a process that keeps the frontend waiting for the end of its output",
        "attacks/lifecycle/test_lifecycle.py::test_a_process_that_keeps_output_open_does_not_block_the_caller",
    ),
    "D05": _tested(
        "ignore every signal",
        "attacks/lifecycle/test_lifecycle.py::test_a_hook_that_ignores_every_signal_is_ended_at_the_time_limit",
    ),
    "D06": _tested(
        "live on when the frontend is killed",
        "attacks/lifecycle/test_lifecycle.py::test_everything_ends_with_the_frontend",
    ),
    "D08": _tested(
        "end without an answer, or badly after one",
        "integration/call/test_failures.py::test_a_hook_that_leaves_nothing",
        "integration/call/test_failures.py::test_a_hook_that_ends_before_it_has_answered",
        "integration/call/test_failures.py::test_half_of_an_artefact_is_not_taken_from_a_hook_that_fails",
    ),
    "D10": _tested(
        "leave ten thousand processes that nobody waits for",
        "attacks/suite/test_hostile_backend.py::test_orphans_are_reaped",
    ),
    "E03": _tested(
        "read shared memory that has a name; locks of its own have to work",
        "attacks/suite/test_hostile_backend.py::test_attack",
        "attacks/suite/test_hostile_backend.py::test_semaphores_of_its_own_work",
    ),
    "E12": _tested(
        "make system calls by io_uring, past the filter", "attacks/suite/test_hostile_backend.py::test_attack"
    ),
    "E15": _tested(
        "get past a proxy with a list of hosts",
        "attacks/found/test_named_hosts.py::test_nothing_is_reached_directly",
        "attacks/found/test_named_hosts.py::test_no_spelling_of_a_request_leads_elsewhere",
        "attacks/found/test_named_hosts.py::test_slow_and_huge_and_many_requests_do_not_stop_it",
        "attacks/found/test_named_hosts.py::test_the_process_of_the_proxy_is_out_of_reach",
        "attacks/found/test_named_hosts.py::test_a_hook_whose_proxy_ends_is_ended",
        "attacks/found/test_named_hosts.py::test_no_second_request_reaches_the_operators_proxy",
        "unit/network/test_addresses.py::test_an_answer_that_changes_after_the_check_is_not_used",
        "attacks/found/test_network_auth.py::test_no_spelling_of_a_request_takes_the_credential_elsewhere",
        "attacks/found/test_network_auth.py::test_it_opens_nothing_but_reading",
        "attacks/found/test_network_auth.py::test_nothing_that_came_for_it_comes_back_but_the_body",
        "attacks/found/test_network_auth.py::test_it_is_nowhere_in_the_sandbox",
        "integration/call/test_network_auth.py::test_a_server_that_is_not_the_one_gets_nothing",
    ),
    "E16": _out(
        "publish by a host that it may reach",
        "a host that the policy names gets what a hook sends it, within TLS too: name hosts that only serve files",
    ),
    "E17": _out(
        "lock files that it can read, or watch them",
        "a read-only mount stops neither flock(2) nor inotify(7): what is shown to hooks can be locked and watched",
    ),
    "F12": _tested(
        "profit from a /proc that a container has covered",
        "integration/hosts/test_narrow_hosts.py::test_refused_by_default_and_run_with_one_word",
    ),
    "G08": _tested("mount by the new calls", "attacks/suite/test_hostile_backend.py::test_attack"),
    "G10": _tested(
        "write through a mount beneath one that is read-only",
        "attacks/found/test_mounts.py::test_a_mount_beneath_the_build_environment_is_read_only_too",
    ),
    "G11": _tested(
        "profit from flags that a mount has lost",
        "attacks/found/test_mounts.py::test_a_mount_keeps_its_flags",
    ),
    "G15": _tested(
        "swap a directory for a link while the sandbox is set up",
        "unit/results/test_outputs.py::test_a_hook_that_moves_the_directory_away_changes_nothing",
        "unit/results/test_artefacts.py::test_an_artefact_swapped_for_a_link_after_opening_does_not_matter",
        "unit/results/test_artefacts.py::test_a_directory_swapped_for_a_link_is_not_followed",
    ),
    "G17": _out("plant something in an overlay", "nothing is an overlay here"),
    "G18": _out("mount a file system that never answers", "it takes a mount, which every hook is refused: G03, G04"),
    "G19": _tested(
        "use up mounts and namespaces",
        "attacks/lifecycle/test_leftovers.py::test_calls_in_a_row_leave_nothing",
    ),
    "H05": _tested(
        "type into the frontend's terminal",
        "attacks/lifecycle/test_terminal.py::test_a_hook_cannot_type_into_the_terminal",
    ),
    "H06": _tested("paste into a virtual console", "unit/sandbox/test_seccomp.py::test_rules"),
    "H07": _tested(
        "write to the terminal on the side, or leave it in another mode",
        "attacks/lifecycle/test_terminal.py::test_a_hook_cannot_write_to_the_controlling_terminal",
        "attacks/found/test_found_by_attack.py::test_a_terminal_as_stdout_is_not_the_hooks",
    ),
    "H08": _tested(
        "steer the terminal by what is printed, logged or raised",
        "attacks/results/test_results_refused.py::test_texts_that_steer_a_terminal_or_a_ci",
        "attacks/results/test_results_refused.py::test_a_refusal_shows_what_it_refuses_escaped",
        "unit/facade/test_outputfilter.py::test_what_steers_a_terminal_is_written_as_an_escape",
    ),
    "H09": _tested(
        "give commands to a CI service by what is printed",
        "attacks/results/test_results_refused.py::test_texts_that_steer_a_terminal_or_a_ci",
        "unit/facade/test_outputfilter.py::test_what_a_ci_takes_for_a_command_is_none_any_more",
    ),
    "I01": _tested(
        "leave a link as its answer",
        "attacks/results/test_results_refused.py::test_output_json_as_link_to_a_secret",
        "unit/results/test_answer.py::test_a_link_is_not_followed",
    ),
    "I02": _tested(
        "leave a FIFO as its answer",
        "attacks/results/test_results_refused.py::test_output_json_as_fifo",
        "unit/results/test_answer.py::test_a_fifo_is_refused_and_not_waited_for",
    ),
    "I03": _tested(
        "leave an endless answer",
        "attacks/results/test_results_refused.py::test_output_json_without_end",
        "unit/results/test_answer.py::test_a_sparse_file_of_ten_gigabytes_is_refused_unread",
    ),
    "I04": _tested(
        "leave an answer that crashes its reader",
        "attacks/results/test_results_refused.py::test_output_json_that_is_none",
        "unit/results/test_answer.py::test_what_is_not_a_plain_object_is_refused",
    ),
    "I05": _tested(
        "return a path in place of a name",
        "attacks/results/test_results_refused.py::test_a_returned_name_that_is_none",
        "unit/results/test_answer.py::test_hostile_names_are_refused",
    ),
    "I07": _tested(
        "have the frontend read a file by the file name of a warning",
        "attacks/results/test_results_refused.py::test_a_warning_that_quotes_a_file",
        "attacks/results/test_results_refused.py::test_a_warning_whose_file_has_no_end",
    ),
    "I08": _tested(
        "ask for a requirement that is an option and a file",
        "attacks/results/test_results_refused.py::test_a_requirement_that_has_pip_quote_a_file",
        "attacks/results/test_results_refused.py::test_a_requirement_that_is_an_option_or_a_place",
    ),
    "I09": _tested(
        "ask for another index, or a requirement by URL",
        "attacks/results/test_results_refused.py::test_a_requirement_that_is_an_option_or_a_place",
        "attacks/results/test_results_refused.py::test_a_url_is_a_matter_of_policy",
    ),
    "I10": _tested(
        "send texts and wrong kinds as the reason of a failure",
        "attacks/results/test_results_refused.py::test_flags_of_a_wrong_kind",
        "unit/results/test_answer.py::test_texts_are_strings_made_visible_and_cut",
    ),
    "I11": _tested(
        "leave an artefact that is a link, FIFO or device",
        "attacks/results/test_results_refused.py::test_an_artefact_that_is_no_plain_file",
    ),
    "I12": _tested(
        "swap the artefact after it was vetted",
        "unit/results/test_artefacts.py::test_an_artefact_swapped_for_a_link_after_opening_does_not_matter",
    ),
    "I15": _tested(
        "return what is of another project, or stale",
        "attacks/results/test_results_refused.py::test_what_is_named_after_another_project",
        "attacks/results/test_results_refused.py::test_another_version_than_was_prepared",
        "attacks/results/test_results_refused.py::test_a_stale_file_is_not_returned",
    ),
    "I16": _tested(
        "put members into the wheel that lead elsewhere (an optional check)",
        "unit/results/archives/test_wheels.py::test_a_name_that_leads_elsewhere_is_refused",
        "unit/results/archives/test_wheels.py::test_a_second_end_record_is_refused",
    ),
    "I17": _tested(
        "put members into the sdist that lead elsewhere (an optional check)",
        "unit/results/archives/test_sdists.py::test_a_link_that_leads_out_is_refused",
        "unit/results/archives/test_sdists.py::test_two_sizes_of_a_member_are_refused",
    ),
    "I18": _tested(
        "leave links and endless files in the metadata",
        "unit/results/test_artefacts.py::test_hostile_metadata_is_refused_and_the_earlier_stays",
    ),
    "I20": _tested(
        "have the frontend remove or open something else when it cleans up",
        "unit/results/test_artefacts.py::test_a_hostile_tree_is_removed_and_nothing_else",
        "unit/run/test_workspace.py::test_hostile_content_is_removed_and_no_link_is_followed",
    ),
    "J01": _tested(
        "fork without end",
        "attacks/suite/test_resources.py::test_j01_processes",
        "attacks/suite/test_resources.py::test_j01_a_fork_bomb_ends_with_its_time",
    ),
    "J02": _tested("use up memory", "attacks/suite/test_resources.py::test_j02_memory"),
    "J03": _tested(
        "fill the disk",
        "attacks/suite/test_resources.py::test_j03_temporary_files",
        "attacks/suite/test_resources.py::test_j03_free_space",
    ),
    "J04": _tested("print without end", "attacks/suite/test_resources.py::test_j04_output_without_end"),
    "J05": _tested("sleep for ever", "attacks/suite/test_resources.py::test_j05_silence"),
    "J06": _tested("compute for ever", "attacks/suite/test_resources.py::test_j06_processor_time"),
    "J07": _tested(
        "use up descriptors and terminals",
        "attacks/suite/test_resources.py::test_j07_descriptors",
        "attacks/suite/test_resources.py::test_j07_terminals",
    ),
    "J09": _tested("leave what is hard to remove", "attacks/suite/test_resources.py::test_j09_what_is_hard_to_remove"),
    "J11": _tested(
        "hold on to a directory that is to be removed",
        "attacks/lifecycle/test_lifecycle.py::test_nothing_is_left_of_a_hook_that_failed",
    ),
    "K12": _out("use a bug of the kernel", "the kernel is trusted"),
    "L": _tested(
        "nothing: layouts of interpreters, trees and hosts that must work or be refused clearly",
        "integration/call/test_odd_paths.py::test_names_of_source_and_output",
        "integration/call/test_odd_modes.py::test_a_tree_of_foreign_owners",
        "integration/corpus/test_packages.py::test_the_wheel_is_the_same",
    ),
    # Found by reviews from outside, and in attacks on the result. The tests without the sandbox among them show that
    # the attack works.
    "M01": _tested(
        "write a program into a directory of the tree that PATH, PYTHONPATH or another search path names",
        "attacks/found/test_frontend_paths.py::test_no_search_path_leads_into_the_tree",
        "attacks/found/test_frontend_paths.py::test_a_search_path_into_the_tree_runs_it_without_us",
    ),
    "M02": _tested(
        "write a library that the next launcher would load",
        "attacks/found/test_search_paths.py::test_the_launcher_loads_no_library_of_an_earlier_hook",
    ),
    "M03": _tested(
        "change what an editable installation of the tree imports",
        "attacks/found/test_frontend_paths.py::test_an_editable_install_of_the_tree",
    ),
    "M04": _tested(
        "change the build environment that lies in the tree",
        "attacks/found/test_frontend_paths.py::test_temporary_files_do_not_lie_in_the_tree",
        "attacks/found/test_workspaces.py::test_a_build_environment_in_the_tree_is_read_only",
        "attacks/found/test_workspaces.py::test_pips_environment_in_the_tree_is_read_only",
    ),
    "M05": _tested(
        "have a constraints file or pyproject.toml read again as it has left them",
        "attacks/found/test_frontend_paths.py::test_constraints_are_those_of_the_start",
        "attacks/found/test_frontend_paths.py::test_pyproject_is_not_read_again_as_a_hook_left_it",
        "attacks/found/test_fromager_files.py::test_pyproject_is_read_as_data",
    ),
    "M06": _tested(
        "have the frontend write a report, a file or an unpacked sdist elsewhere",
        "attacks/found/test_frontend_paths.py::test_a_report_goes_where_it_was_to_go",
        "attacks/found/test_frontend_paths.py::test_an_unpacked_sdist_replaces_nothing_else",
        "attacks/found/test_frontend_paths.py::test_an_unpacked_sdist_stays_where_it_was_to_go",
        "attacks/found/test_fromager_files.py::test_pkg_info_is_not_written_through_a_link",
        "attacks/found/test_fromager_files.py::test_pkg_info_is_not_written_to_a_fifo",
    ),
    "M07": _tested(
        "have the frontend remove another directory than the build environment",
        "attacks/found/test_frontend_paths.py::test_an_environment_is_removed_where_it_was_made",
    ),
    "M08": _tested(
        "move the output directory away, so that the frontend opens another artefact than the vetted one",
        "attacks/found/test_output_directories.py::test_the_frontend_opens_what_was_vetted",
        "attacks/found/test_output_directories.py::test_without_a_sandbox_the_frontend_opens_what_the_hook_has_put_there",
        "attacks/found/test_output_directories.py::test_the_tree_itself_as_the_output_directory",
        "attacks/found/test_output_directories.py::test_an_output_directory_in_a_writable_path",
    ),
    "M09": _tested(
        "replace the artefact or the metadata of an earlier hook",
        "attacks/found/test_output_directories.py::test_a_later_hook_cannot_change_an_artefact",
        "attacks/found/test_output_directories.py::test_later_hooks_cannot_change_metadata",
        "attacks/found/test_output_directories.py::test_a_later_hook_without_a_sandbox_changes_an_artefact",
    ),
    "M10": _tested(
        "plant a workspace whose sweep changes owners, loads marshal data or ends processes",
        "attacks/found/test_workspaces.py::test_a_planted_workspace_is_not_swept",
        "attacks/found/test_workspaces.py::test_a_workspace_of_ours_is_swept",
        "attacks/found/test_workspaces.py::test_no_hook_gets_the_register",
    ),
    "M11": _tested(
        "read or change the workspace of another call",
        "attacks/found/test_workspaces.py::test_a_hook_does_not_see_the_workspace_of_another_call",
        "attacks/found/test_workspaces.py::test_a_hook_sees_what_is_not_hidden",
        "attacks/found/test_workspaces.py::test_a_workspace_is_in_no_tree_to_which_the_hook_of_another_call_writes",
    ),
    "M12": _tested(
        "stop the supervisor by reading back its own output",
        "attacks/found/test_supervisor.py::test_no_hook_holds_up_a_limit_through_its_output",
        "attacks/found/test_supervisor.py::test_no_hook_holds_up_a_limit_in_a_minute",
        "attacks/found/test_supervisor.py::test_everything_ends_with_a_frontend_whose_hook_holds_up_its_output",
    ),
    "M13": _tested(
        "connect to a socket that somebody binds in the tree later, or under another name",
        "attacks/found/test_sockets.py::test_a_socket_that_somebody_binds_in_the_tree_meanwhile",
        "attacks/found/test_sockets.py::test_a_socket_by_any_name",
        "attacks/found/test_sockets.py::test_a_socket_of_another_network_namespace",
        "attacks/found/test_sockets.py::test_no_socket_sends_without_being_connected",
        "attacks/found/test_sockets.py::test_nothing_is_looked_at_twice",
    ),
    "M14": _tested(
        "listen where an accomplice outside connects",
        "attacks/found/test_sockets.py::test_what_a_hook_binds_is_reachable_from_inside_only",
        "attacks/found/test_sockets.py::test_an_abstract_name_in_the_callers_network_cannot_be_bound",
    ),
    "M15": _tested(
        "write into a FIFO that somebody else reads",
        "attacks/found/test_sockets.py::test_a_fifo_of_somebody_else_cannot_be_written_to",
    ),
    "M16": _tested(
        "see a hidden file that somebody has replaced",
        "attacks/found/test_view.py::test_what_is_hidden_stays_hidden_if_somebody_outside_replaces_it",
    ),
    "M17": _tested(
        "leave a git repository whose configuration runs a command",
        "attacks/found/test_git.py::test_a_repository_that_a_hook_has_made_is_set_aside",
        "attacks/found/test_git.py::test_without_the_sandbox_it_would_run",
        "attacks/found/test_git.py::test_a_repository_beneath_many_new_directories_is_found",
        "attacks/found/test_git.py::test_a_nested_repository_stays_as_it_is",
        "attacks/found/test_git.py::test_a_link_to_a_repository_can_be_used_and_not_replaced",
        "attacks/found/test_git.py::test_what_the_configuration_leads_to_stays_as_it_is",
    ),
    "M18": _tested(
        "read another build or private files under /opt",
        "attacks/found/test_view.py::test_another_build_in_opt_does_not_exist",
        "attacks/found/test_view.py::test_private_files_beside_programs_are_not_shown",
    ),
    "M19": _tested(
        "find a token in a build variable or in the configuration of git",
        "attacks/found/test_view.py::test_credentials_in_the_values_of_build_variables",
        "attacks/found/test_git.py::test_no_token_in_a_configuration_is_shown",
    ),
    "M20": _tested(
        "weaken what the next hook runs under, by many sockets or a deep tree",
        "attacks/found/test_next_hook.py::test_the_trial_of_the_host_sees_nothing_of_the_tree",
        "attacks/found/test_next_hook.py::test_a_tree_deeper_than_any_path_gives_the_next_hook_no_capability",
        "attacks/found/test_next_hook.py::test_a_tree_whose_owners_nobody_can_find_is_refused",
        "attacks/found/test_sockets.py::test_many_sockets_in_the_tree_cost_nothing",
    ),
    "M21": _tested(
        "occupy the frontend with metadata, lines of output or markers",
        "attacks/found/test_bounds.py::test_metadata_that_take_their_reader_too_much",
        "attacks/found/test_bounds.py::test_a_wheel_whose_metadata_take_their_reader_too_much",
        "attacks/found/test_bounds.py::test_output_of_a_failing_hook",
        "attacks/found/test_bounds.py::test_a_marker_that_nobody_can_evaluate",
        "unit/files/test_documents.py::test_what_takes_the_parser_too_many_steps_is_never_parsed",
    ),
    "M22": _tested(
        "exceed a limit by short children, or delay one by many names",
        "attacks/found/test_supervisor.py::test_children_that_nobody_waits_for_count",
        "attacks/found/test_supervisor.py::test_many_names_exceed_a_limit_themselves",
        "attacks/found/test_supervisor.py::test_many_names_delay_no_other_limit",
    ),
    "M23": _tested(
        "take all throw-away uids or the caller's inotify instances",
        "attacks/found/test_supervisor.py::test_no_local_user_takes_all_throw_away_uids",
        "attacks/found/test_supervisor.py::test_no_hook_takes_all_of_the_callers_inotify_instances",
    ),
    "M24": _tested(
        "leave a daemon that outlives its launcher",
        "attacks/found/test_supervisor.py::test_no_daemon_outlives_a_launcher_that_its_runner_kills",
        "attacks/lifecycle/test_interrupted.py::test_a_launcher_killed_at_any_moment",
    ),
    "M25": _tested(
        "read the host's network and kernel by /proc without namespaces, or change flags of files",
        "attacks/found/test_without_namespaces.py::test_without_the_sandbox_each_attack_works",
        "attacks/found/test_without_namespaces.py::test_the_filter_refuses_what_landlock_does_not_confine",
        "attacks/found/test_without_namespaces.py::test_landlock_gives_no_right_outside",
        "attacks/found/test_without_namespaces.py::test_the_report_says_what_of_proc_is_open",
    ),
    "M26": _tested(
        "have an old bubblewrap create a file outside by a link",
        "attacks/found/test_bubblewrap_race.py::test_bwrap_alone_creates_a_file_outside",
        "attacks/found/test_bubblewrap_race.py::test_under_our_launcher_nothing_is_created_outside",
    ),
    "M27": _tested(
        "give a file a set-user-ID bit that a directory alone may have",
        "attacks/found/test_modes.py::test_no_file_gets_the_set_user_id_bit",
        "attacks/found/test_modes.py::test_no_race_gives_a_file_the_bit",
    ),
    "M28": _tested(
        "lead pip, which unpacks an sdist, out of its directory by a link",
        "attacks/found/test_attacked_frontends.py::test_an_sdist_with_links",
        "attacks/found/test_attacked_frontends.py::test_a_build_requirement_that_is_an_sdist_with_links",
    ),
    "M29": _tested(
        "name a script by a path, so that installing it writes elsewhere",
        "attacks/found/test_attacked_frontends.py::test_a_build_requirement_whose_script_has_a_path_for_a_name",
    ),
    "M30": _tested(
        "exchange the target of an installation for a link",
        "attacks/found/test_attacked_frontends.py::test_a_hook_exchanges_the_target_of_an_install",
        "attacks/found/test_attacked_frontends.py::test_every_change_through_a_link_is_refused",
    ),
    "M31": _tested(
        "plant a wheel in a cache that lies in the tree",
        "attacks/found/test_attacked_frontends.py::test_a_hook_plants_a_wheel_in_a_cache_in_the_tree",
    ),
    "M32": _tested(
        "name another directory of the operator in a dependency",
        "attacks/found/test_attacked_frontends.py::test_metadata_that_name_another_directory_of_the_operator",
    ),
    "M33": _tested(
        "steer the terminal by metadata that pip prints",
        "attacks/found/test_attacked_frontends.py::test_metadata_do_not_speak_to_the_terminal_through_pip",
    ),
    "M34": _tested(
        "have pid 1, which connects and changes modes for it, follow a link to its own files",
        "attacks/found/test_attacked_hooks.py::test_no_path_leads_to_what_pid_1_has_open",
    ),
    "M35": _tested(
        "occupy the frontend with the configuration of a repository or with extras",
        "attacks/found/test_attacked_hooks.py::test_no_configuration_of_a_repository_holds_up_the_frontend",
        "attacks/found/test_attacked_frontends.py::test_a_requirement_whose_extras_multiply",
    ),
    "M36": _tested(
        "name the caller's files in programs that it has installed on PATH, so that the sandbox shows them",
        "attacks/found/test_build_requirements.py::test_programs_of_a_build_environment",
        "attacks/found/test_build_requirements.py::test_programs_in_a_writable_path",
        "attacks/found/test_build_requirements.py::test_the_callers_own_programs_do_lead_there",
    ),
    "M37": _tested(
        "have pid 1, which moves files for it, read its own files, write without end or recurse without end",
        "attacks/found/test_renames.py::test_nothing_of_pid_1_and_nothing_read_only_moves",
        "attacks/found/test_renames.py::test_a_file_that_grows_does_not_occupy_pid_1",
        "attacks/found/test_renames.py::test_a_directory_that_grows_deeper_than_a_stack_does_not_end_pid_1",
    ),
    "M38": _tested(
        "print what makes a hint advise to open a place of programs, or a variable with a credential",
        "unit/observe/test_hints.py::test_no_line_opens_a_place_of_code_to_a_hook_that_asks_for_it",
        "unit/observe/test_hints.py::test_no_line_keeps_a_variable_whose_value_is_a_credential",
    ),
    "M39": _tested(
        "have another Python of the caller's shown by writing its place into pyvenv.cfg of the build environment",
        "attacks/found/test_build_requirements.py::test_the_configuration_of_the_build_environment_itself",
        "unit/plan/test_interpreter.py::test_a_base_that_a_build_requirement_may_have_named",
    ),
    "M40": _tested(
        "reach the process from which launchers are forked, or get from it what the frontend has given up",
        "attacks/suite/test_hostile_backend.py::test_attack_after_a_warm_launch",
        "integration/call/test_warm.py::test_what_the_process_holds",
        "integration/call/test_warm.py::test_a_frontend_that_has_changed_starts_a_new_process",
        "integration/call/test_warm.py::test_a_frontend_that_has_confined_itself_starts_a_new_process",
    ),
    "M41": _tested(
        "register a launcher of its own where Python searches, for the next call",
        "unit/launchers/test_entrypoints.py::test_one_that_lies_in_a_tree_is_refused",
        "unit/launchers/test_entrypoints.py::test_its_module_is_not_searched_in_a_tree",
    ),
}
