package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

func (a *app) backupCommand() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a consistent copy of the database, while the service runs or not",
		Long: `Backup writes a copy of the database as of one moment, mode 0600; - writes to standard output. The
copy is complete when its name appears.

The master key is not in it: keep a copy of that apart, one is worthless without the other.
To restore, stop the service, put the copy in the place of the database and start again. That
ends all sessions and tokens, and revives no code, link or token that was used since.`,
		Example: `  anteroom backup /backup/anteroom-2026-03-01.db
  anteroom backup - | age -r age1... > anteroom.db.age`,
		Args: wants("FILE"),
	}
	c.Flags().BoolVar(&force, "force", false, "replace a file that is there")
	c.RunE = a.with(func(ctx context.Context, api *api, args []string) error {
		path := args[0]
		if path != "-" && !force {
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s is there already and was left as it is; choose another name, or add --force", path)
			}
		}
		resp, err := api.request(ctx, http.MethodPost, "/backup", nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if path == "-" {
			_, err := receive(a.stdout, resp)
			return err
		}
		size, err := receiveFile(path, resp)
		if err != nil {
			return err
		}
		answer := map[string]any{"file": path, "bytes": size}
		return a.say(answer, "%s is written (%d bytes). Keep a copy of the master key (%s) apart from it.", path, size, api.cfg.MasterKeyPlace())
	})
	return c
}

// receive copies a backup and notices one that was cut off.
func receive(w io.Writer, resp *http.Response) (int64, error) {
	n, err := io.Copy(w, resp.Body)
	if err == nil && resp.ContentLength >= 0 && n != resp.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return n, fmt.Errorf("the backup was cut off after %d bytes and is not usable; try again: %w", n, err)
	}
	return n, nil
}

// receiveFile writes a backup beside path and gives it its name when it is
// complete and on disk.
func receiveFile(path string, resp *http.Response) (int64, error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return 0, fmt.Errorf("write the backup: %w", err)
	}
	defer os.Remove(f.Name())
	n, err := receive(f, resp)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return n, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return n, fmt.Errorf("write the backup: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return n, fmt.Errorf("write the backup: %w", err)
	}
	return n, errors.Join(d.Sync(), d.Close())
}
