package service

import (
	"errors"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"kroxy-ev/config"
)

// credential returns the user and groups that workers run as, or nil for those of this process.
func credential(cfg *config.Config) (*syscall.Credential, error) {
	c, err := lookUpCredential(cfg)
	if err == nil && c != nil && os.Getuid() != 0 {
		return nil, cfg.KeyError(nil, "user", "only root can run workers as another user", "start as root, or remove user and group")
	}
	return c, err
}

// lookUpCredential is credential without the check that this process may change users.
func lookUpCredential(cfg *config.Config) (*syscall.Credential, error) {
	if cfg.User == "" && cfg.GroupName == "" {
		return nil, nil
	}
	c := &syscall.Credential{Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())}
	if cfg.User != "" {
		u, err := lookUser(cfg.User)
		if err != nil {
			return nil, cfg.KeyError(nil, "user", err.Error(), "name a user of this machine")
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		c.Uid, c.Gid = uint32(uid), uint32(gid)
		groups, _ := u.GroupIds() // if this fails, there is only the primary group
		for _, g := range groups {
			if id, err := strconv.ParseUint(g, 10, 32); err == nil {
				c.Groups = append(c.Groups, uint32(id))
			}
		}
	}
	if cfg.GroupName != "" {
		g, err := lookGroup(cfg.GroupName)
		if err != nil {
			return nil, cfg.KeyError(nil, "group", err.Error(), "name a group of this machine")
		}
		gid, _ := strconv.ParseUint(g.Gid, 10, 32)
		c.Gid = uint32(gid)
	}
	if os.Getuid() != 0 && int(c.Uid) == os.Getuid() && int(c.Gid) == os.Getgid() {
		return nil, nil
	}
	return c, nil
}

// lookUser finds a user by name or number.
func lookUser(name string) (*user.User, error) {
	u, err := user.Lookup(name)
	if unknown := user.UnknownUserError(""); errors.As(err, &unknown) {
		if byID, idErr := user.LookupId(name); idErr == nil {
			return byID, nil
		}
	}
	return u, err
}

// lookGroup finds a group by name or number.
func lookGroup(name string) (*user.Group, error) {
	g, err := user.LookupGroup(name)
	if unknown := user.UnknownGroupError(""); errors.As(err, &unknown) {
		if byID, idErr := user.LookupGroupId(name); idErr == nil {
			return byID, nil
		}
	}
	return g, err
}
