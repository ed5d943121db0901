package supervise_test

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"kroxy-ev/engine/enginetest"
	"kroxy-ev/engine/supervise"
)

// The test binary is also every program that the tests start: roleVariable in its environment says which.
const roleVariable = "SUPERVISE_TEST_ROLE"

var roles = map[string]func() error{
	"leaves at once":      func() error { os.Exit(7); return nil },
	"never answers":       func() error { select {} },
	"master":              master,
	"masters many deaths": mastersManyDeaths,
	"starved master":      starvedMaster,
	"new master":          newMaster,
	"newer master":        newerMaster,
	"old master":          oldMaster,
}

// orphanVariable makes a worker undo PR_SET_PDEATHSIG, so that only the end of its channel ends it.
const orphanVariable = "SUPERVISE_TEST_ORPHAN"

func init() { // runs on the main thread, to which the setting applies
	if os.Getenv(orphanVariable) != "" {
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0); err != nil {
			panic(err)
		}
	}
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	w, err := supervise.Inherit()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(100)
	case w != nil && (role == "never answers" || role == "leaves at once"):
		_ = roles[role]()
	case w != nil:
		work(w)
	case role != "":
		if err := roles[role](); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(101)
		}
		os.Exit(0)
	}
	// Under the race detector a process takes a second to exit, unless told otherwise.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")); err != nil {
		panic(err)
	}
	enginetest.Parallel(8) // many wait for a timeout
	os.Exit(m.Run())
}
