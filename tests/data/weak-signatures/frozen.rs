// Made by make.py beside it; see README.md. No private key exists any more.

const FROZEN: &str = r#"{"_type":"Targets","delegations":{"keys":{},"roles":[]},"expires":"2126-11-22T12:00:00Z","targets":{},"version":1}"#;

const GOOD: &[Frozen] = &[
    Frozen {
        name: "rsa-2048 pss, salt 32",
        keytype: "rsa",
        method: "rsapss",
        public: "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAri/bJ2aJitEszgbbWJjQOaEkJGPteretbYAsJi+NhO4zy+Cgj9Jptkdx+0cB5WmaeMMl6/EMXV21KtdkOk1KyjDTJEfSULvLec7yqnYrnE6GskgeVl/5RVqqc2QgGsMp3mkanrO8CSH4KBDy7dVQOIu7VnAAGTJOax/Pvdvzk9m4jQN2UcCGPoWBRhTHhfteg13Rmj0NBhfAAKvRQFqJqBtbyrGPXPrD2KF/LH+IpvgfV3u3ntMw3vtHgLrgjOMHtTyCnK3f2JMUGrk2LuOJrrhBQ4b6cddlZJEyGZjkFIBd55ctOin841sKHTy4qpM7q9IcpurgN62mt6uzzjv4wQIDAQAB",
        signature: "TOT3beAx3ShuheqclrVtg28Sc5xzE1V0/CcaXx/l4Jbo+zuf0iokOPkQOIUBFqXfOTUXylo2RyPwyV7w/qzHRjJimsRxeZGUgdWW814ylJ/5jltD/Kq8LWu9AeZqdkZSFnEe+L/EtIYMHxbWj8pd6uIeKrmOKq4Hf0y0BuDsO5wwsfFyw6xPEky5dLKcN+vHXFEeFbA8NPWNVY1S1TI1PtWXcz/3vGSoF3j2TkmB0M94l++WLizVCXm39ztA3LaMrg5/anNgyov6BmtQnX5j2uclyj9oQtoEQbwyJntFAUv/Lk7NNqjFM9TsFct3Q0Dx3oOlEZFiZjBsLXbTXzTvsw==",
    },
    Frozen {
        name: "rsa-2048 pkcs1",
        keytype: "rsa",
        method: "rsapkcs1v15",
        public: "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAri/bJ2aJitEszgbbWJjQOaEkJGPteretbYAsJi+NhO4zy+Cgj9Jptkdx+0cB5WmaeMMl6/EMXV21KtdkOk1KyjDTJEfSULvLec7yqnYrnE6GskgeVl/5RVqqc2QgGsMp3mkanrO8CSH4KBDy7dVQOIu7VnAAGTJOax/Pvdvzk9m4jQN2UcCGPoWBRhTHhfteg13Rmj0NBhfAAKvRQFqJqBtbyrGPXPrD2KF/LH+IpvgfV3u3ntMw3vtHgLrgjOMHtTyCnK3f2JMUGrk2LuOJrrhBQ4b6cddlZJEyGZjkFIBd55ctOin841sKHTy4qpM7q9IcpurgN62mt6uzzjv4wQIDAQAB",
        signature: "bl9G3V5Nqk5AjvD40oky0ybbQhxYdbntUoxcl4bRdoS/glKjTYCsTtOweTunQPlLwaMJ2/6BtsoV9p43Ts6iMJBt5lt9ZTjxoRgDepMlh8nwU6jCmUgJUQzjKd33fnlROkRAtocwz0b6yQXgzwp9M3mTYDrPAYXVNKbWLi1MfXftLruhlp9yZJ4vCuRwa50q+2NSFXRsRcrUj560ayHKLF6ARhx0eCXrAta9rHveJVtQRBbWCOrWSKjkmppaG5zr8aknqGVBIu8qtYrbTAm+aSXdMEXtkQpCkWxbc1EFsSag7PX/GKa7ZC2O1UdQaFH4FjS4EL2s/qT20PxRmrhDiQ==",
    },
    Frozen {
        name: "p-256",
        keytype: "ecdsa",
        method: "ecdsa",
        public: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmGi2OKTCq7Ch1ko30OpPpiqmmJXEuKsD4rLERhBuR4ucx+tbasyLVtS8iOBAJG+wFVRgfpx2L5BzXv+jOoDCxQ==",
        signature: "KJbNdzy9GHEudg00Aqyd47LKfmhYmweQg8N1ZZQ4Kcq8ml9I6zmdxdRwlEkZiQTIcEzgKUP4DKsYeUmFqtLVNg==",
    },
    Frozen {
        name: "p-256, s negated",
        keytype: "ecdsa",
        method: "ecdsa",
        public: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmGi2OKTCq7Ch1ko30OpPpiqmmJXEuKsD4rLERhBuR4ucx+tbasyLVtS8iOBAJG+wFVRgfpx2L5BzXv+jOoDCxQ==",
        signature: "SAIHTuMw9hL1StpzdH34BqEjCo5o55PTr+nMH8rzxYYIrspA07x9BCgAG0t9nScfSCNt8YGCB528E8GF6XMTVg==",
    },
    Frozen {
        name: "p-384 with sha-256",
        keytype: "ecdsa",
        method: "ecdsa",
        public: "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEyCRhzJsJ6ce37Q24LmoHomCchkQ5I9+/d/ILweLvGI8e22zefYTlNvAqTh+dqSkaETCBx84MdHcjcm2E05uCuxYpMqDgvFe1joJQwoKpII978EyVWhNHBv18nMk9EGSu",
        signature: "y4rYbg7eK8F6ZteFc2jeBhCsj3byjRvb0jCC1EU3pPrxZpP4obnpKB+Fy2H0bYfGTA2vvQ55L78yWhQ9Gf8+fbVB3gZ7UeMmRM3vkyfNI2NkIG0UG5Rf3LDR0aZTAZor",
    },
    Frozen {
        name: "p-521 with sha-256",
        keytype: "ecdsa",
        method: "ecdsa",
        public: "MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQAPHU792AnQTRc0RTodw9CcPegHT3CaAcy5xNxl/AiwMcAV5NmfRsP4mZ9YPLphBAAkTG9cXrru9cipqCcnKVNz5MAHbsQxwGyf1/YkpVWouj4Uoh9a7QSz6HpUupEwRcaCmRyam+Xl7tYVIOJoDQFkBaPIIGf0ZLQ3royVVNlFzOeZKM=",
        signature: "AQsyvzJtbHgTnqCRDU6O9Hv2RzvaxTeyanuMzqRhwaaXuUD++AO3BbtXruhP6+sJyKcSqLT7B2I6rslZsfp35Z1iAYTv/ToRxGfQ+31RV1U3MjwZz7i91rQ2C6MO+PajwFx6AnHHPhUdV60zmAtvxyd77LSqid4zmJ/oG/2mLS3xnP78",
    },
];

const WEAK: &[Frozen] = &[
    Frozen {
        name: "rsa-1024 pss, salt 32",
        keytype: "rsa",
        method: "rsapss",
        public: "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC9dxlUUmPYSz/s/yJ63ftRsanY7iin1mlK3eSwRvLOhcCK6btiLk6cvVrrVB3bUjkg8Qc17vpHfqE/BsmEC5WxqA1uyi1E8ViXj5VP8eSRnYyycYu4WESD0THfajNXsPdlMyLEWsP1a/fZQRpDP5GbgqASjG5bN0Su7zeE+1ygOQIDAQAB",
        signature: "AJt8biCVookF0NAKL6AX7BQV9o10nJHvfOnZW63N/QPaDByeZo7+EhJjI+rvVTLU6/Bps7EBlgl6d/QhqJ9vOjcPaKfZ3dbWCt3MNXhijtgz173UwM7dYRlNVp+lR9FhSVKubHsWRU0swILzdCg1cT7jMau8zjAGIEGCWsyXqYM=",
    },
    Frozen {
        name: "rsa-1024 pkcs1",
        keytype: "rsa",
        method: "rsapkcs1v15",
        public: "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC9dxlUUmPYSz/s/yJ63ftRsanY7iin1mlK3eSwRvLOhcCK6btiLk6cvVrrVB3bUjkg8Qc17vpHfqE/BsmEC5WxqA1uyi1E8ViXj5VP8eSRnYyycYu4WESD0THfajNXsPdlMyLEWsP1a/fZQRpDP5GbgqASjG5bN0Su7zeE+1ygOQIDAQAB",
        signature: "FKq+8gdxms13DiIrzB6PTcxYn+wLEWPwwO6ydmN0Bn6qGQ6irSpJRWDDN7Qssi9qYE79KXx3kc5sWOigLU2PIlCGiSAnLiiNuWSGbPdT4ncPR/3u4NrAMcqbepqGD1aF+UA7CUUNSMFo+LicEIyOfwOwqz7qj0qZehfJJJDzDWw=",
    },
    Frozen {
        name: "rsa-2048 pss, salt 0",
        keytype: "rsa",
        method: "rsapss",
        public: "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAri/bJ2aJitEszgbbWJjQOaEkJGPteretbYAsJi+NhO4zy+Cgj9Jptkdx+0cB5WmaeMMl6/EMXV21KtdkOk1KyjDTJEfSULvLec7yqnYrnE6GskgeVl/5RVqqc2QgGsMp3mkanrO8CSH4KBDy7dVQOIu7VnAAGTJOax/Pvdvzk9m4jQN2UcCGPoWBRhTHhfteg13Rmj0NBhfAAKvRQFqJqBtbyrGPXPrD2KF/LH+IpvgfV3u3ntMw3vtHgLrgjOMHtTyCnK3f2JMUGrk2LuOJrrhBQ4b6cddlZJEyGZjkFIBd55ctOin841sKHTy4qpM7q9IcpurgN62mt6uzzjv4wQIDAQAB",
        signature: "RYJ7hlX1lUmkrVE7SnELcG2mFIiyceynb+VlCd+85rTI8FnwBa+SPl9LoMUxqgKYsX0sX6QUzFrhhAFO9A/GqUm9mRMUBK9TekPW7yoXSAvX0/3uV+ha7iJVXg9Qb1nW1te0V583SWn8j4odt3hgwQoU4g323XeEcqQvgFJf1mGM8OVZYFTmvlcNsFLSgDI7qqeWR22misIIfZxDuxKh7ZTnDzcvEzV7OZRG6hL0JlHFyT0IWoGAuOTreDUnDcXUhbzpCCA3QQQ7/OJF1Fsi72YkN671nn66G2Os7cKm7mStztgwggHQ6S6fjqHueIc6PoS2YtYMPUCpkmifbnpZQw==",
    },
    Frozen {
        name: "rsa-2048 pss, salt 20",
        keytype: "rsa",
        method: "rsapss",
        public: "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAri/bJ2aJitEszgbbWJjQOaEkJGPteretbYAsJi+NhO4zy+Cgj9Jptkdx+0cB5WmaeMMl6/EMXV21KtdkOk1KyjDTJEfSULvLec7yqnYrnE6GskgeVl/5RVqqc2QgGsMp3mkanrO8CSH4KBDy7dVQOIu7VnAAGTJOax/Pvdvzk9m4jQN2UcCGPoWBRhTHhfteg13Rmj0NBhfAAKvRQFqJqBtbyrGPXPrD2KF/LH+IpvgfV3u3ntMw3vtHgLrgjOMHtTyCnK3f2JMUGrk2LuOJrrhBQ4b6cddlZJEyGZjkFIBd55ctOin841sKHTy4qpM7q9IcpurgN62mt6uzzjv4wQIDAQAB",
        signature: "bUdDmIt4P32O8jRkESgAKmFF9alhRtxLqU5itDUyAYcZjCBOn7hPx3J0evBrA3SaPP22Eq5+yjSVBrSTFNygsnLqX/WVC0aYU3BHyas88dCNZY8uR4fksKmtGuNNy1RqOtsvWKsoZMkSLYSdzewXWvA/4p0JkvMkjUOa+juCg3v9tbF3IjXRByZvkgqTiq9yewQ8u13hE6AFVQYW+xyFeEugKK5jC6om7nJXXPs+L+TQnx70VPwhMwbZR2pzf6p6bdMixezjsgfCBBW2k0/j/NbDBReB5t1GG5NwVhBfQ8aNYaNKjW9A9KtQgQqKqIFvZAJwoKCiffVt30C+FfpjkQ==",
    },
    Frozen {
        name: "rsa-2048 pss, salt 64",
        keytype: "rsa",
        method: "rsapss",
        public: "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAri/bJ2aJitEszgbbWJjQOaEkJGPteretbYAsJi+NhO4zy+Cgj9Jptkdx+0cB5WmaeMMl6/EMXV21KtdkOk1KyjDTJEfSULvLec7yqnYrnE6GskgeVl/5RVqqc2QgGsMp3mkanrO8CSH4KBDy7dVQOIu7VnAAGTJOax/Pvdvzk9m4jQN2UcCGPoWBRhTHhfteg13Rmj0NBhfAAKvRQFqJqBtbyrGPXPrD2KF/LH+IpvgfV3u3ntMw3vtHgLrgjOMHtTyCnK3f2JMUGrk2LuOJrrhBQ4b6cddlZJEyGZjkFIBd55ctOin841sKHTy4qpM7q9IcpurgN62mt6uzzjv4wQIDAQAB",
        signature: "T17/8+gYHH51hUrkxDQhlIXkVa6jPicpg7dQoCLDReRKxrmNKfRv+yjP52rFB9UR8uVHcSt48UJ5SSsP2G+G+E3CAmtaxUbYPX1s4iYuIvyEovXfHwHpne3UrVW3WdOfRAgW7Am/QHC64/1eOOTHV6KFhwcCzEsQ4jU/O9sdTh69VCAtnnHomiC7OzeJqCcaG3yIV9SJM+Qds/rNK4xsTGazEyy78WqBbYy36Vz+JO1q6+wm+I0nGO0+CF0SoxsrpWTVSMj61NZd0kOfvvc49Qscp0ZGoai8Uf1e4DhUaJZJFn4ycjbg8H6Oui7oXzk26j5LWpyGWLMKBjjKLrvpUw==",
    },
    Frozen {
        name: "rsa-2048 pss, longest salt",
        keytype: "rsa",
        method: "rsapss",
        public: "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAri/bJ2aJitEszgbbWJjQOaEkJGPteretbYAsJi+NhO4zy+Cgj9Jptkdx+0cB5WmaeMMl6/EMXV21KtdkOk1KyjDTJEfSULvLec7yqnYrnE6GskgeVl/5RVqqc2QgGsMp3mkanrO8CSH4KBDy7dVQOIu7VnAAGTJOax/Pvdvzk9m4jQN2UcCGPoWBRhTHhfteg13Rmj0NBhfAAKvRQFqJqBtbyrGPXPrD2KF/LH+IpvgfV3u3ntMw3vtHgLrgjOMHtTyCnK3f2JMUGrk2LuOJrrhBQ4b6cddlZJEyGZjkFIBd55ctOin841sKHTy4qpM7q9IcpurgN62mt6uzzjv4wQIDAQAB",
        signature: "fBOUxLfKxylnMHUK409BoltLUH1FJOPCM0ZKKrUvYXkR0YhnhOOTP3Vo7hzEXtoNlBPifOW/3KlpN7Lg7wZHBqTKfvY1+ErkgEe37JSW/SzR4ZvET3n9UzzEYKW4arq3YXrW1KIrNF67idHDe29Rct7NRzRSTuuYKcIe7MIxRpoA9Zhua40A0N6tRSaQ4icnrcSz+sg34yKz4YS1Dk5ZzxpbbfBy2z8DP37c0Mhn0ycwCiyuaB4QWHZCx6gJFDDVWUVqalq6KYdZgvPPjI2zR4lyySjJSx+TESoGpr6Z277dhvipGdlZVzozLaNBrM6WZy9WsH3aFQhMLKdspr0Z0A==",
    },
    Frozen {
        name: "rsa-2048 pkcs1 over sha-1",
        keytype: "rsa",
        method: "rsapkcs1v15",
        public: "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAri/bJ2aJitEszgbbWJjQOaEkJGPteretbYAsJi+NhO4zy+Cgj9Jptkdx+0cB5WmaeMMl6/EMXV21KtdkOk1KyjDTJEfSULvLec7yqnYrnE6GskgeVl/5RVqqc2QgGsMp3mkanrO8CSH4KBDy7dVQOIu7VnAAGTJOax/Pvdvzk9m4jQN2UcCGPoWBRhTHhfteg13Rmj0NBhfAAKvRQFqJqBtbyrGPXPrD2KF/LH+IpvgfV3u3ntMw3vtHgLrgjOMHtTyCnK3f2JMUGrk2LuOJrrhBQ4b6cddlZJEyGZjkFIBd55ctOin841sKHTy4qpM7q9IcpurgN62mt6uzzjv4wQIDAQAB",
        signature: "jBsQ+NSsIAZ5sThIQrnvcu8Q7B/BIbQPAolAeR4Bv3Rbmjam3f5FA7KsPA7SMZb2ZUXhpACz0qDRjS3Yc3jL8w9lPB87x2FSGfXeU0jZtchGuK+Jt4wcyvsiV+DSKj9grJsSTn1jGF6+rI/8WL24cWelN3011+5gc5AqgNpPZe0l3FDUY35Nz5n6m8bu1JSL7LpCm89Cz+n75b63fIVZTjyElkrYxfrc8KqcwLxiJMA6qR16WMlIUERxH2KLntxVMTlY9Mlr8hWWGcagNEX2iXc48sc8djF38btxWJkcX51EpUNxCEjCiEYQm4hZQ4/2PQTd5gIXixOIpj/ceTfBsA==",
    },
    Frozen {
        name: "rsa-2048 pkcs1 over sha-512",
        keytype: "rsa",
        method: "rsapkcs1v15",
        public: "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAri/bJ2aJitEszgbbWJjQOaEkJGPteretbYAsJi+NhO4zy+Cgj9Jptkdx+0cB5WmaeMMl6/EMXV21KtdkOk1KyjDTJEfSULvLec7yqnYrnE6GskgeVl/5RVqqc2QgGsMp3mkanrO8CSH4KBDy7dVQOIu7VnAAGTJOax/Pvdvzk9m4jQN2UcCGPoWBRhTHhfteg13Rmj0NBhfAAKvRQFqJqBtbyrGPXPrD2KF/LH+IpvgfV3u3ntMw3vtHgLrgjOMHtTyCnK3f2JMUGrk2LuOJrrhBQ4b6cddlZJEyGZjkFIBd55ctOin841sKHTy4qpM7q9IcpurgN62mt6uzzjv4wQIDAQAB",
        signature: "n/1mYtwSm6eRjPu2mYz2xMsnrpxKSa04wRJKKV7Qp/KLM2okw4zvYaiqCxkIjwjl23NYvUBFPqwOrI8gfoUL86SqzuAjNywtsrr1KeWsni79vB9xf7w2b+Zl5B1ZlN9Fsh0wJRKYy/QMZqm3QEy3eMZqkZI7IYuatigme+Bq+iuOir5X76lYgu/E3k/cPgmgPCLaV8xq35CdufJkArRbZAkDER/WqiD6USsAQT3QjEZPzw177i/nRGmdPjlS3j81XlEtstud/sXrFQuv+NecohG4aqNmI8FkahNdfk9BpwpBBAfRWUIazyjIssw7Yun6HfPZJYPDrTcugvrzuY6xtQ==",
    },
    Frozen {
        name: "secp256k1",
        keytype: "ecdsa",
        method: "ecdsa",
        public: "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEYyLnc+NZnNPXJcuIlw4PAqceC9woZdmYG+9+OuDE6E7O4BsYdWQOVpNXehTzEuG+PtCCdwNuZ8b4E0A+JOKbKg==",
        signature: "RqdLRnFKiiMu4Ae6R86LALOeWaDhJ4q14uf4L8e8BW1eZyo2qaranbtsvXFH5uHrp9AZw0WTic+8iREfs9ckyw==",
    },
    Frozen {
        name: "p-256 over sha-1",
        keytype: "ecdsa",
        method: "ecdsa",
        public: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmGi2OKTCq7Ch1ko30OpPpiqmmJXEuKsD4rLERhBuR4ucx+tbasyLVtS8iOBAJG+wFVRgfpx2L5BzXv+jOoDCxQ==",
        signature: "HJgp7BPc/R4+fraCP1sHuQ/X+0G5MHVEWRt/aRfcDjmhLdl1PnB1OXosX8Ic9Hv0sWs3YdngfdjvnOxFTNd+OQ==",
    },
    Frozen {
        name: "p-521 over sha-512",
        keytype: "ecdsa",
        method: "ecdsa",
        public: "MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQAPHU792AnQTRc0RTodw9CcPegHT3CaAcy5xNxl/AiwMcAV5NmfRsP4mZ9YPLphBAAkTG9cXrru9cipqCcnKVNz5MAHbsQxwGyf1/YkpVWouj4Uoh9a7QSz6HpUupEwRcaCmRyam+Xl7tYVIOJoDQFkBaPIIGf0ZLQ3royVVNlFzOeZKM=",
        signature: "AEZK5rrxtoI1f0dHZAhZ2wyL11vw6kZF+jZWA/dkNTmQGVs9k/1D+mrErZtQ81unI/sT9li0THhiXdYJolqL30CvAOnqPxhd+OV7ovqMl7/4OO91L8Eoaj4PtbcRVR1nAQdMHthfy+/YTjmFcIA/2tqWaF4+Yj212K3HMvumpRM7QvZp",
    },
    Frozen {
        name: "p-256, padded to the width of p-384",
        keytype: "ecdsa",
        method: "ecdsa",
        public: "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmGi2OKTCq7Ch1ko30OpPpiqmmJXEuKsD4rLERhBuR4ucx+tbasyLVtS8iOBAJG+wFVRgfpx2L5BzXv+jOoDCxQ==",
        signature: "AAAAAAAAAAAAAAAAAAAAAALsPc1o6yNpwYfPsynTuFZkuWgtoqdxuYckhmRQrlusAAAAAAAAAAAAAAAAAAAAAIPnozpqXoCNd9snWHycaKpbthuL6XR6O9cGArqtQ2bP",
    },
];
