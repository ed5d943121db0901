package supervise

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// memfile returns an anonymous file of size zero bytes that can be sealed. See memfd_create(2).
func memfile(name string, size int64) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, fmt.Errorf("making a memory file: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := f.Truncate(size); err != nil {
		f.Close()
		return nil, fmt.Errorf("sizing a memory file: %w", err)
	}
	return f, nil
}

// seal applies seals permanently.
func seal(f *os.File, seals int) error {
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("sealing a memory file: %w", err)
	}
	return nil
}

// sealedFile returns a memory file that contains p and is sealed against changes.
func sealedFile(p []byte) (*os.File, error) {
	f, err := memfile("plan", int64(len(p)))
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteAt(p, 0); err != nil {
		err = fmt.Errorf("writing a memory file: %w", err)
	} else {
		err = seal(f, unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_WRITE|unix.F_SEAL_SEAL)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// readBack returns the contents of a memory file and closes it. It reads by offset, because processes share the file's position.
func readBack(fd int) ([]byte, error) {
	f := os.NewFile(uintptr(fd), "plan")
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading a memory file: %w", err)
	}
	p := make([]byte, st.Size())
	if _, err := f.ReadAt(p, 0); err != nil {
		return nil, fmt.Errorf("reading a memory file: %w", err)
	}
	return p, nil
}
