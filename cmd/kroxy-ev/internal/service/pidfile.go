package service

import (
	"bytes"
	"os"
	"strconv"

	"kroxy-ev/config"
)

// pidFile is the path of a file with this process's PID; empty if there is none.
type pidFile string

// writePIDFile writes the pid file that cfg asks for.
func writePIDFile(cfg *config.Config) (pidFile, error) {
	if cfg.PIDFile == "" {
		return "", nil
	}
	if err := os.WriteFile(cfg.PIDFile, pidText(), 0o644); err != nil {
		return "", cfg.KeyError(nil, "pid_file", err.Error(), "name a file in a directory that exists and that this user may write to")
	}
	return pidFile(cfg.PIDFile), nil
}

func pidText() []byte { return strconv.AppendInt(nil, int64(os.Getpid()), 10) }

// remove removes the file, unless a successor has written its own PID there.
func (f pidFile) remove() {
	if f == "" {
		return
	}
	if b, err := os.ReadFile(string(f)); err == nil && bytes.Equal(bytes.TrimSpace(b), pidText()) {
		_ = os.Remove(string(f))
	}
}
