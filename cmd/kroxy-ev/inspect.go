package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"kroxy-ev/config"
)

// test checks the configuration that f names, and what that names, for the kind of process that f asks for, and says so if
// it is good. If f is strict, warnings are errors.
func test(f flags, stdout, stderr io.Writer) error {
	cfg, warnings, err := readConfig(f.config)
	if err == nil {
		reactors := 1 // a worker's
		if !f.multiprocess {
			reactors = reactorCount(cfg)
		}
		warnings = append(warnings, shortage(cfg, openFiles(), reactors)...)
		var more []config.Problem
		more, err = inspect(cfg)
		warnings = append(warnings, more...)
	}
	if f.strict {
		err = config.AsError(warnings, err)
	} else {
		warn(warnings, stderr)
	}
	if err == nil {
		fmt.Fprintf(stdout, "kroxy-ev: %s is good\n", f.config)
	}
	return err
}

// inspect looks for what would keep a start by this user from succeeding although cfg itself is right: hosts that cannot be
// counted, users that do not exist, files that cannot be written to. It opens and makes none.
func inspect(cfg *config.Config) (warnings []config.Problem, err error) {
	var bad []config.Problem
	add := func(err error) {
		if e, ok := errors.AsType[*config.Error](err); ok {
			bad = append(bad, e.Problems...)
		}
	}
	check := func(w identity, s *config.Server, key, path string) {
		if what, remedy := w.mayWrite(path); what != "" {
			bad = append(bad, cfg.Problem(cfg.PathOf(s, key), what, remedy))
		}
	}
	if l, err := newLedger(); err == nil {
		_, err = l.assign(cfg)
		add(err)
		l.counters.Close()
	}
	who, err := wanted(cfg)
	add(err)
	worker := workerIdentity(cfg, who)
	if who != nil {
		key := "group"
		if cfg.User != "" {
			key = "user"
		}
		if os.Getuid() != 0 {
			warnings = append(warnings, cfg.Problem(cfg.PathOf(onlyServer(cfg), key),
				"only root can run workers as another user and check whether they may write the log", "check the file as root"))
		}
	}
	logs := func(s *config.Server, key, path string) {
		if err == nil && path != "" && !standard(path) {
			check(worker, s, key, path)
		}
	}
	for _, s := range cfg.Servers {
		logs(s, "file_log", s.FileLog)
	}
	logs(onlyServer(cfg), "error_log", cfg.ErrorLog)
	if cfg.PIDFile != "" {
		check(thisProcess(), onlyServer(cfg), "pid_file", cfg.PIDFile)
	}
	return warnings, config.AsError(bad, nil)
}

// standard reports whether a path is of a descriptor that a process has from its parent: another one than a check has.
func standard(path string) bool {
	return path == "/dev/stdout" || path == "/dev/stderr" || strings.HasPrefix(path, "/dev/fd/") || strings.HasPrefix(path, "/proc/self/fd/")
}
