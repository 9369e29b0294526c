"""--method nerf: radiance fields along rays, and their training."""
