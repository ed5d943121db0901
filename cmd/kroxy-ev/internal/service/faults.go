//go:build faults

package service

import (
	"os"
	"time"
)

// In a program built with the tag faults, workers fail as the environment variable KROXY_EV_FAULT says:
//
//	exit-at-start       exit before doing anything
//	exit-after-serving  exit a moment after beginning to serve
//	hang-at-start       hang before doing anything
//	hang-loop           hang the loop, and only the loop, after beginning to serve

const exitFault = 3

// fail makes w fail if the environment asks for a failure at this point.
func fail(now faultPoint, w *worker) {
	switch fault := os.Getenv("KROXY_EV_FAULT"); {
	case now == atStart && fault == "exit-at-start":
		os.Exit(exitFault)
	case now == atStart && fault == "hang-at-start":
		select {}
	case now == whenServing && fault == "exit-after-serving":
		time.AfterFunc(50*time.Millisecond, func() { os.Exit(exitFault) })
	case now == whenServing && fault == "hang-loop":
		w.proxy.FirstLoop().Post(func() { select {} })
	}
}
