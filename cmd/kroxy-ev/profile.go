//go:build profile

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"
)

// profilePeriod is the time that a profile covers. A benchmark kills the program, so profiles are written while the program runs.
const profilePeriod = time.Second

// A program built with the tag profile writes CPU profiles one after another into the directory named by the environment variable
// KROXY_EV_PROFILES.
func init() {
	dir := os.Getenv("KROXY_EV_PROFILES")
	if dir == "" {
		return
	}
	go func() {
		for i := 0; ; i++ {
			if err := writeProfile(filepath.Join(dir, fmt.Sprintf("%d-%d.pprof", os.Getpid(), i))); err != nil {
				fmt.Fprintln(os.Stderr, "kroxy-ev: while profiling:", err)
				return
			}
		}
	}()
}

// writeProfile writes a profile of the next period to path. The file appears only when it is complete.
func writeProfile(path string) error {
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	time.Sleep(profilePeriod)
	pprof.StopCPUProfile()
	return os.Rename(path+".part", path)
}
