"""Networks that other programs wrote, turned into LatentLab's own."""
