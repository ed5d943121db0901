package bench

import (
	"os"
	"os/exec"
	"sync"
	"testing"
)

// What is read of a family of processes does not fail because one of them ends meanwhile.
func TestFamilyWhoseMembersEnd(t *testing.T) {
	t.Parallel()
	short, err := exec.LookPath("true")
	if err != nil {
		t.Skipf("nothing to run: %v", err)
	}
	stop := make(chan struct{})
	var children sync.WaitGroup
	for range 4 {
		children.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := exec.Command(short).Run(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	defer children.Wait()
	defer close(stop)
	for range 100 {
		g, err := newGauge(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		g.close()
		if _, err := threadsOf(os.Getpid()); err != nil {
			t.Fatal(err)
		}
		if _, err := memoryOf(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
}
