package service

import (
	"errors"
	"log/slog"
	"os"
	"strings"

	"kroxy-ev/cmd/kroxy-ev/internal/proxy"
	"kroxy-ev/config"
)

// Check reads the configuration at path and checks it and the files that it names, for a process with or without workers. It starts nothing.
func Check(path string, multiprocess bool) (warnings []config.Problem, err error) {
	cfg, warnings, err := proxy.ReadConfig(path)
	if err != nil {
		return warnings, err
	}
	reactors := 1 // a worker's
	if !multiprocess {
		reactors = proxy.ReactorCount(cfg)
	}
	warnings = append(warnings, proxy.Shortage(cfg, reactors, multiprocess)...)
	more, err := inspect(cfg)
	return append(warnings, more...), err
}

// inspect looks for problems that would make a start by this user fail although cfg itself is valid: too many hosts, unknown users, files
// that cannot be written. It opens and creates no files.
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
	if c, err := newCounters(slog.New(slog.DiscardHandler)); err == nil {
		add(c.assign(cfg, new(proxy.Resources)))
		c.close()
	}
	for i := range cfg.Admin {
		_, problems, err := adminRules(cfg, &cfg.Admin[i])
		warnings = append(warnings, problems...)
		add(err)
	}
	who, err := lookUpCredential(cfg)
	add(err)
	worker := workerIdentity(cfg, who)
	if who != nil {
		key := "group"
		if cfg.User != "" {
			key = "user"
		}
		if os.Getuid() != 0 {
			warnings = append(warnings, cfg.Problem(cfg.PathOf(nil, key),
				"only root can run workers as another user, and check whether that user may write the logs", "check the file as root"))
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
	logs(nil, "error_log", cfg.ErrorLog)
	if cfg.PIDFile != "" {
		check(thisProcess(), nil, "pid_file", cfg.PIDFile)
	}
	return warnings, config.AsError(bad, nil)
}

// standard reports whether path is that of an inherited descriptor, which is another one when the configuration is only checked.
func standard(path string) bool {
	return path == "/dev/stdout" || path == "/dev/stderr" || strings.HasPrefix(path, "/dev/fd/") || strings.HasPrefix(path, "/proc/self/fd/")
}
