//go:build faults

package service

import (
	"os"
	"time"
)

// A program that was built for tests has workers that fail when the environment variable KROXY_EV_FAULT says so:
//
//	exit-at-start       before they do anything
//	exit-after-serving  a moment after they have begun to serve
//	hang-at-start       before they do anything
//	hang-loop           when they have begun to serve; only the loop hangs

const exitFault = 3

// fail has w fail, if the environment asks for a failure at this point.
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
