//go:build profile

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"
)

// profilePeriod is how much time a profile covers. Whoever measures kills the program, so each is written while it runs.
const profilePeriod = time.Second

// A program that was built for profiles writes one CPU profile after the other into the directory that the environment
// variable KROXY_EV_PROFILES names.
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

// writeProfile writes a profile of the coming period to path. It is there only when it is complete.
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
