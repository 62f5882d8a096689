variable "base" {
  type        = string
  default     = "ubuntu-24.04"
  description = "The Deep Learning Base image to build on: ubuntu-22.04, ubuntu-24.04 or amazon-linux-2023."
  validation {
    condition     = contains(["ubuntu-22.04", "ubuntu-24.04", "amazon-linux-2023"], var.base)
    error_message = "The base must be ubuntu-22.04, ubuntu-24.04 or amazon-linux-2023."
  }
}

variable "architecture" {
  type        = string
  default     = "x86_64"
  description = "Of the image: x86_64 or arm64."
  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "The architecture must be x86_64 or arm64."
  }
}

variable "region" {
  type        = string
  default     = "us-east-1"
  description = "Where it is built and registered."
}

variable "source_ami" {
  type        = string
  default     = ""
  description = "An image of your own to build on, instead of the newest base. With it, base says which login user it has."
  validation {
    condition     = var.source_ami == "" || regex_replace(var.source_ami, "^ami-[0-9a-f]+$", "") == ""
    error_message = "The source_ami must be the id of an image: ami-…."
  }
}

variable "instance_type" {
  type        = string
  default     = ""
  description = "To build on; needs no GPU. Default: m6i.large, or m7g.large for arm64."
}

variable "wheel" {
  type        = string
  description = "The wheel of runctl: dist/runctl-*.whl."
  validation {
    condition     = regex_replace(var.wheel, "^.*runctl-[^/]+[.]whl$", "") == ""
    error_message = "The wheel must be a file runctl-….whl: python -m hatchling build -t wheel."
  }
}

variable "agent_version" {
  type        = string
  description = "The version of the wheel, for the tag runctl:agent-version."
}

variable "commit" {
  type        = string
  description = "The commit that the wheel is built from, as runctl-agent --version shows it; for the tag runctl:commit."
  validation {
    condition     = regex_replace(var.commit, "^[0-9a-f]{7,40}(-dirty)?$", "") == ""
    error_message = "The commit must be 7 to 40 hex digits: git describe --always --abbrev=12."
  }
}

variable "volume_size" {
  type        = number
  default     = 75
  description = "GiB of the root volume; not less than the base image's own."
  validation {
    condition     = var.volume_size >= 8
    error_message = "The volume_size is in GiB, 8 or more."
  }
}

variable "kms_key_id" {
  type        = string
  default     = ""
  description = "Encrypts the root volume. Default: the account's own key for EBS."
}

variable "subnet_id" {
  type        = string
  default     = ""
  description = "Where the builder runs. Default: the default VPC's."
}
